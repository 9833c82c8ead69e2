from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.resolve_configuration import resolve_configuration

    resolve_configuration(
        snakemake.params.pipeline,
        snakemake.params.run,
        pipeline_path=snakemake.output.pipeline,
        run_path=snakemake.output.run,
    )
