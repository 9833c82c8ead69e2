from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.distances import distances

    distances(
        list(snakemake.input.histories),
        dict(zip(snakemake.params.methods, snakemake.output, strict=True)),
        stride=snakemake.params.stride,
        n_workers=snakemake.threads,
    )
