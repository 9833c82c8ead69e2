# Model, or activations of one's own -> batches. One job a run: the model is loaded once for all batches of that run.


# The outputs of a rule are fixed, so there is one rule for each number of batches in use, kept or temporary.
for n_batches, kept in sorted(set(BATCH_KINDS.values())):

    rule:
        name:
            "precompute_"
            + (f"{n_batches}_" if n_batches > 1 else "")
            + ("batches" if kept else "temporary_batches")
        input:
            checkpoint=checkpoint_files,
            data=data_files,
            own=own_activation_files,
        output:
            batch_outputs(n_batches, kept),
        log:
            f"{RESULTS}/logs/{{run_config}}/precompute_batches/run_{{run}}.log",
        benchmark:
            f"{RESULTS}/logs/{{run_config}}/precompute_batches/run_{{run}}.tsv"
        wildcard_constraints:
            run_config=one_of(
                name for name, kind in BATCH_KINDS.items() if kind == (n_batches, kept)
            ),
        conda:
            "../envs/spdclust.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, input, attempt: int(
                (4000 + 4 * megabytes(input.own)) * attempt
            ),
            runtime=lambda wildcards, attempt: 60 * attempt,
            gpu=lambda wildcards: int(SAMPLING[wildcards.run_config].device != "cpu"),
        params:
            sampling=lambda wildcards: SAMPLING[wildcards.run_config].sampling(),
            seeds=batch_seeds,
            loader=loader_code,
            code=stage_fingerprint("precompute_batches"),
        script:
            "../workflow/scripts/precompute_batches.py"
