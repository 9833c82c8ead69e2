from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.execution.jobs import compile_ahead
    from spdclust.stages.merge import merge
    from spdclust.stages.track import follow_merge

    compile_ahead()
    # which merges are logged, and how often, comes from the configuration: neither `params` nor inputs, so
    # that changing it re-runs no finished merge
    with follow_merge(
        snakemake.output.history,
        snakemake.config if snakemake.resources.tracked else None,
        keep_batches=bool(snakemake.resources.batches_kept),
    ) as observer:
        merge(
            list(snakemake.input.batches),
            snakemake.params.merge_config,
            tuple(snakemake.params.seed),
            history=snakemake.output.history,
            metrics=snakemake.output.metrics,
            threads=snakemake.threads,
            checkpoint_seconds=snakemake.resources.checkpoint_seconds,
            git_snapshot=bool(snakemake.resources.git_snapshot),
            allow_different_models=snakemake.params.allow_different_models,
            observer=observer,
        )
