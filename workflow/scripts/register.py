from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.register import register

    register(
        list(snakemake.input.histories),
        snakemake.params.settings,
        path=snakemake.output[0],
    )
