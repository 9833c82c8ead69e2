from pathlib import Path

from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.compare_points import compare_points, point_files

    compare_points(
        point_files(
            snakemake.params.points,
            list(snakemake.input.histories),
            list(snakemake.input.stability),
            list(snakemake.input.groups),
        ),
        Path(snakemake.output[0]).parent,
    )
