from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.precompute_batches import precompute_batches

    precompute_batches(snakemake.params.sampling, list(snakemake.output))
