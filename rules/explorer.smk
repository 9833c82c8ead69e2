# All results of an ensemble -> one page to explore it.
from spdclust.explorer.page import assets_digest


rule explorer:
    input:
        histories=histories_of,
        distances=lambda wildcards: list(distance_files(wildcards).values()),
        stability=[
            f"{RESULTS}/{{run_config}}/{{ensemble}}/stability.json",
            f"{RESULTS}/{{run_config}}/{{ensemble}}/stability_iterations.csv",
        ],
        groups=f"{RESULTS}/{{run_config}}/{{ensemble}}/{GROUPS['record']}",
        batches=first_batches,
    output:
        path=f"{RESULTS}/{{run_config}}/{{ensemble}}/explorer.html",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/explorer.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/explorer.tsv"
    priority: FIRST
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (1500 + 6 * megabytes(input)) * attempt
        ),
        runtime=lambda wildcards, input, attempt: int(reading_minutes(input) * attempt),
    params:
        **stage_params("explorer:explorer"),
        distances=distance_files,
        ensemble=ensemble_name,
        model=model_name,
        digest=assets_digest(),
    script:
        "../workflow/scripts/stage.py"
