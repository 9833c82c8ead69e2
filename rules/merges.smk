# Batches -> one merge history per run.


rule merge:
    input:
        batches=lambda wildcards: batch_files(ensemble_of(wildcards), wildcards.run),
    output:
        history=f"{RESULTS}/{{run_config}}/{{ensemble}}/runs/run_{{run}}/history.zip",
        metrics=f"{RESULTS}/{{run_config}}/{{ensemble}}/runs/run_{{run}}/metrics.csv",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/merge/run_{{run}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/merge/run_{{run}}.tsv"
    priority: FIRST
    conda:
        "../envs/spdclust.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            merging_megabytes(wildcards, input.batches) * attempt
        ),
        runtime=lambda wildcards, attempt: 120 * attempt,
        # a resource, because the checkpoint interval does not change results
        checkpoint_seconds=300,
        # also a resource: the commit of a finished history cannot be determined afterwards, so enabling this
        # later does not trigger a re-run
        git_snapshot=lambda wildcards: int(
            ensemble_of(wildcards).pipeline.create_git_snapshot
        ),
        # whether the merge is logged to W&B, and whether its batches can still be looked at afterwards
        tracked=lambda wildcards: int(ensemble_of(wildcards).tracking is not None),
        batches_kept=lambda wildcards: int(BATCH_KINDS[wildcards.run_config][1]),
    params:
        merge_config=lambda wildcards: ensemble_of(
            wildcards
        ).run.merge_config.resolved(),
        seed=merge_seed,
        allow_different_models=lambda wildcards: ensemble_of(
            wildcards
        ).run.allow_different_models,
        code=stage_fingerprint("merge"),
    script:
        "../workflow/scripts/merge.py"
