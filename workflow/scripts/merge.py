from spdclust.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.merge import merge

    merge(
        list(snakemake.input.batches),
        snakemake.params.merge_config,
        tuple(snakemake.params.seed),
        history=snakemake.output.history,
        metrics=snakemake.output.metrics,
        threads=snakemake.threads,
        checkpoint_seconds=snakemake.resources.checkpoint_seconds,
        git_snapshot=bool(snakemake.resources.git_snapshot),
    )
