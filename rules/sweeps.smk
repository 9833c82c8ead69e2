# The points of a sweep -> their comparison. No group: Snakemake asks for every history anew, each time
# another one is there, whether a group may begin, which takes a quarter of the plan of 100 ensembles of 20 runs.


rule compare_points:
    input:
        histories=lambda wildcards: [
            history
            for ensemble in points_of(wildcards)
            for history in history_files(ensemble)
        ],
        stability=lambda wildcards: [
            f"{folder_of(ensemble)}/{STABILITY_FILES['record']}"
            for ensemble in points_of(wildcards)
        ],
        groups=lambda wildcards: [
            f"{folder_of(ensemble)}/{GROUPS['record']}"
            for ensemble in points_of(wildcards)
        ],
    output:
        [f"{RESULTS}/{{run_config}}/{{sweep}}/{name}" for name in SWEEP_FILES.values()],
    log:
        f"{RESULTS}/logs/{{run_config}}/{{sweep}}/compare_points.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{sweep}}/compare_points.tsv"
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (2000 + 2 * megabytes(input)) * attempt
        ),
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        points=lambda wildcards: [
            (ensemble.name, ensemble.sweep_point, ensemble.n_runs)
            for ensemble in points_of(wildcards)
        ],
        code=stage_fingerprint("compare_points"),
    script:
        "../workflow/scripts/compare_points.py"
