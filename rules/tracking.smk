# Histories and results of an ensemble -> Weights & Biases, if a project is configured.


rule track_run:
    input:
        f"{RESULTS}/{{run_config}}/{{ensemble}}/runs/run_{{run}}/history.zip",
        f"{RESULTS}/{{run_config}}/{{ensemble}}/pipeline_config.yaml",
        f"{RESULTS}/{{run_config}}/{{ensemble}}/clustering_run_config.json",
    output:
        # batches are not an input: if they are gone, they must not be sampled again for logging
        path=f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/tracking/run_{{run}}.done",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/track_run_{{run}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/track_run_{{run}}.tsv"
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        **stage_params("track:track"),
        folder=lambda wildcards: folder_of(ensemble_of(wildcards)),
        settings=tracked_to,
        run=lambda wildcards: int(wildcards.run),
        batches=tracks_batches,
    script:
        "../workflow/scripts/stage.py"


rule track_ensemble:
    input:
        lambda wildcards: ensemble_files([ensemble_of(wildcards)]),
        lambda wildcards: figure_files([ensemble_of(wildcards)]),
    output:
        path=f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/tracking/ensemble.done",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/track_ensemble.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/track_ensemble.tsv"
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (2000 + 2 * megabytes(input)) * attempt
        ),
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        **stage_params("track:track"),
        folder=lambda wildcards: folder_of(ensemble_of(wildcards)),
        settings=tracked_to,
    script:
        "../workflow/scripts/stage.py"
