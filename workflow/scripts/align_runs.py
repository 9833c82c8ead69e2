from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.distances import align_runs

    align_runs(list(snakemake.input.histories), snakemake.output[0])
