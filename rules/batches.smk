# Model or user-supplied activations -> batches. One job per run: the model is loaded once for all its batches.


# The outputs of a rule are fixed, so it has a form for each number of batches in use, kept or temporary.
for number, (n_batches, kept) in enumerate(sorted(set(BATCH_KINDS.values())), start=1):

    rule:
        name:
            name_of_form("precompute_batches", number)
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
                (4000 + 4 * megabytes(own_parts(input.own))) * attempt
            ),
            runtime=lambda wildcards, attempt: 60 * attempt,
            gpu=gpus_for_sampling,
        params:
            sampling=lambda wildcards: SAMPLING[wildcards.run_config].sampling(),
            seeds=batch_seeds,
            loader=loader_code,
            code=stage_fingerprint("precompute_batches"),
        script:
            "../workflow/scripts/precompute_batches.py"
