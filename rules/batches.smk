# Model -> batches of activations. One job a run: the model is loaded once for all batches of that run.


# The number of outputs of a rule is fixed, so there is one rule for each number of batches in use.
for n_batches in sorted(set(BATCHES_PER_RUN.values())):

    rule:
        name:
            f"precompute_{n_batches}_batches" if n_batches > 1 else "precompute_batches"
        input:
            checkpoint=checkpoint_files,
            data=data_files,
        output:
            [
                # updated, not made anew: the script keeps the batches that are there and still right
                update(
                    f"{RESULTS}/{{run_config}}/precomputed_batches/run_{{run}}/batch_{batch}.pt"
                )
                for batch in range(n_batches)
            ],
        log:
            f"{RESULTS}/logs/{{run_config}}/precompute_batches/run_{{run}}.log",
        benchmark:
            f"{RESULTS}/logs/{{run_config}}/precompute_batches/run_{{run}}.tsv"
        wildcard_constraints:
            run_config="|".join(
                re.escape(name)
                for name, n in BATCHES_PER_RUN.items()
                if n == n_batches
            ),
        conda:
            "../envs/spdclust.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=lambda wildcards, attempt: 60 * attempt,
            gpu=lambda wildcards: int(SAMPLING[wildcards.run_config].device != "cpu"),
        params:
            sampling=lambda wildcards: SAMPLING[wildcards.run_config].sampling(),
            seeds=batch_seeds,
            code=stage_fingerprint("precompute_batches"),
        script:
            "../workflow/scripts/precompute_batches.py"
