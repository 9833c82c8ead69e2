# Model or user-supplied activations -> batches. The model is loaded once for all batches of a job, which are those of
# one run, or of as many runs as `runs_per_batches_job` allows.


# The outputs of a rule are fixed, so it has a form for each number of batches in use, kept or temporary, and for each
# list of runs that one job samples.
for form, runs, n_batches, kept, run_configs in batch_forms():

    rule:
        name:
            name_of_form("precompute_batches", form)
        input:
            checkpoint=checkpoint_files,
            data=data_files,
            own=user_activation_files,
        output:
            batch_outputs(runs, n_batches, kept),
        log:
            f"{batches_log(runs)}.log",
        benchmark:
            f"{batches_log(runs)}.tsv"
        wildcard_constraints:
            run_config=one_of(run_configs),
        conda:
            "../envs/spdclust.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, input, attempt: int(
                (4000 + 4 * megabytes(user_file_parts(input.own))) * attempt
            ),
            runtime=sampling_minutes(runs),
            gpu=gpus_for_sampling,
        params:
            sampling=sampling_settings,
            loader=loader_code,
            code=stage_fingerprint("precompute_batches"),
        script:
            "../workflow/scripts/precompute_batches.py"
