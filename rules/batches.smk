# Model or user-supplied activations -> batches. The model is loaded once for all batches of a job, which are those of
# one run, or of as many runs as `runs_per_batches_job` allows.


# The outputs of a rule are fixed, so it has a form for each number of batches in use, kept or temporary, and for each
# list of runs that one job samples.
for form, runs, n_batches, kept, run_configs in batch_forms():

    rule:
        name:
            name_of_form("precompute_batches", form)
        input:
            checkpoint_files,
            data_files,
            user_activation_files,
        output:
            paths=batch_outputs(runs, n_batches, kept),
        log:
            f"{batches_log(runs)}.log",
        benchmark:
            f"{batches_log(runs)}.tsv"
        wildcard_constraints:
            run_config=one_of(run_configs),
        priority: FIRST
        conda:
            "../envs/spdclust.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: int(
                (
                    4000
                    + 4 * megabytes(user_file_parts(user_activation_files(wildcards)))
                )
                * attempt
            ),
            runtime=sampling_minutes(runs),
            gpu=gpus_for_sampling,
        params:
            **stage_params("precompute_batches:precompute_batches"),
            settings=sampling_settings,
            digest=loader_code,
        script:
            "../workflow/scripts/stage.py"
