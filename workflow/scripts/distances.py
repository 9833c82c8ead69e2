from pathlib import Path

from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.files.distance_parts import remove_other_parts
    from spdclust.stages.distances import distances, join_distances

    histories, parts = list(snakemake.input.histories), list(snakemake.input.temporary_parts)
    paths = dict(zip(snakemake.params.methods, snakemake.output, strict=True))
    if parts:
        join_distances(histories, parts, paths, stride=snakemake.params.stride)
    else:
        distances(histories, paths, stride=snakemake.params.stride, threads=snakemake.threads)
    remove_other_parts(Path(snakemake.output[0]).parent, parts)
