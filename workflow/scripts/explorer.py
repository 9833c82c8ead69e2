from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.explorer import explorer

    explorer(
        list(snakemake.input.histories),
        snakemake.output[0],
        distances=dict(zip(snakemake.params.methods, snakemake.input.distances, strict=True)),
        stability=(snakemake.input.record, snakemake.input.iterations),
        groups=snakemake.input.groups,
        batches=list(snakemake.input.batches),
        **snakemake.params.names,
    )
