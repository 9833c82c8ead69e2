from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.mapping import map_run

    map_run(
        snakemake.input.history,
        snakemake.wildcards.cut,
        snakemake.output[0],
        run=int(snakemake.wildcards.run),
        **snakemake.params.names,
    )
