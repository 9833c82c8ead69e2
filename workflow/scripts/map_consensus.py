from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.mapping import map_consensus

    map_consensus(
        list(snakemake.input.histories),
        snakemake.wildcards.cut,
        snakemake.output[0],
        **snakemake.params.names,
    )
