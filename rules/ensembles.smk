# Histories -> what the ensemble as a whole says.


rule resolve_configuration:
    output:
        pipeline=f"{RESULTS}/{{run_config}}/{{ensemble}}/pipeline_config.yaml",
        run=f"{RESULTS}/{{run_config}}/{{ensemble}}/clustering_run_config.json",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/resolve_configuration.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/resolve_configuration.tsv"
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        pipeline=lambda wildcards: ensemble_of(wildcards).resolved_pipeline(),
        run=lambda wildcards: ensemble_of(wildcards).resolved_run(),
        code=stage_fingerprint("resolve_configuration"),
    script:
        "../workflow/scripts/resolve_configuration.py"


rule normalize:
    input:
        histories=histories_of,
    output:
        meta=f"{RESULTS}/{{run_config}}/{{ensemble}}/ensemble_meta.json",
        merge_array=f"{RESULTS}/{{run_config}}/{{ensemble}}/ensemble_merge_array.npz",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/normalize.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/normalize.tsv"
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (1000 + 4 * input.size_mb) * attempt
        ),
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=stage_fingerprint("normalize"),
    script:
        "../workflow/scripts/normalize.py"


rule distances:
    input:
        histories=histories_of,
    output:
        distances=f"{RESULTS}/{{run_config}}/{{ensemble}}/distances_{{method}}.npz",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/distances_{{method}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/distances_{{method}}.tsv"
    conda:
        "../envs/spdclust.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (1000 + 4 * input.size_mb) * attempt
        ),
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        method=lambda wildcards: wildcards.method,
        code=stage_fingerprint("distances"),
    script:
        "../workflow/scripts/distances.py"


rule summarize:
    input:
        histories=histories_of,
        distances=lambda wildcards: expand(
            f"{RESULTS}/{{{{run_config}}}}/{{{{ensemble}}}}/distances_{{method}}.npz",
            method=ensemble_of(wildcards).methods,
        ),
    output:
        summary=f"{RESULTS}/{{run_config}}/{{ensemble}}/summary.json",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/summarize.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/summarize.tsv"
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        methods=lambda wildcards: ensemble_of(wildcards).methods,
        code=stage_fingerprint("summarize"),
    script:
        "../workflow/scripts/summarize.py"
