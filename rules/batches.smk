# Model -> batches of activations. One job a run: the model is loaded once for all batches of that run.


def checkpoint_files(wildcards):
    source = CHECKPOINTS.get(wildcards.run_config)
    return [] if source is None else [str(source.weights), str(source.config_file)]


def batch_seeds(wildcards):
    sampled, n = SAMPLING[wildcards.run_config], BATCHES_PER_RUN[wildcards.run_config]
    return [sampled.batch_seed(int(wildcards.run), batch) for batch in range(n)]


# The number of outputs of a rule is fixed, so there is one rule for each number of batches in use.
for n_batches in sorted(set(BATCHES_PER_RUN.values())):

    rule:
        name:
            f"precompute_{n_batches}_batches" if n_batches > 1 else "precompute_batches"
        input:
            checkpoint=checkpoint_files,
        output:
            [
                f"{RESULTS}/{{run_config}}/precomputed_batches/run_{{run}}/batch_{batch}.pt"
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
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=lambda wildcards, attempt: 60 * attempt,
        params:
            sampling=lambda wildcards: SAMPLING[wildcards.run_config].sampling(),
            seeds=batch_seeds,
            code=stage_fingerprint("precompute_batches"),
        script:
            "../workflow/scripts/precompute_batches.py"
