from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.report import report

    report(
        snakemake.params.snakefile,
        snakemake.params.config,
        snakemake.params.target,
        path=snakemake.output[0],
    )
