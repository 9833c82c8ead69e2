# Histories and the batches that they were merged on -> groups, with the evidence for each.


rule groups:
    input:
        histories=histories_of,
        # all that the merges used, temporary ones too: those stay until the evidence is computed
        batches=lambda wildcards: sum(batches_by_run(wildcards), []),
    output:
        [f"{RESULTS}/{{run_config}}/{{ensemble}}/{name}" for name in GROUPS.values()],
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/groups.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/groups.tsv"
    priority: FIRST
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            grouping_megabytes(input.batches) * attempt
        ),
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        **stage_params("groups:groups"),
        batches=batches_by_run,
        folder=output_folder,
        ensemble=ensemble_name,
        model=model_name,
    script:
        "../workflow/scripts/stage.py"
