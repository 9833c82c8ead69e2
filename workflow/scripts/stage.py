from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.execution.jobs import call_stage

    call_stage(snakemake)
