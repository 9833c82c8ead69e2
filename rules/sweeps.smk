# The points of a sweep -> their comparison. No group: Snakemake asks for every history anew, each time
# another one is there, whether a group may begin, which takes a quarter of the plan of 100 ensembles of 20 runs.


rule compare_points:
    input:
        lambda wildcards: [
            file
            for _, _, histories, stability, groups in files_of_points(wildcards)
            for file in [*histories, stability, groups]
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
        **stage_params("ensemble_records:compare_points"),
        points=files_of_points,
        folder=output_folder,
    script:
        "../workflow/scripts/stage.py"
