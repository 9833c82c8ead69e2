from pathlib import Path

from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.stability import stability

    stability(
        list(snakemake.input.histories),
        snakemake.params.methods,
        Path(snakemake.output[0]).parent,
        stride=snakemake.params.stride,
        n_workers=snakemake.threads,
        mapping_names=snakemake.params.names,
        mapping_cuts=["stability_drop"],  # the other one is cheap, and has a rule
    )
