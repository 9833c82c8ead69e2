# Histories -> results of the whole ensemble.


rule resolve_configuration:
    output:
        pipeline_path=f"{RESULTS}/{{run_config}}/{{ensemble}}/pipeline_config.yaml",
        run_path=f"{RESULTS}/{{run_config}}/{{ensemble}}/clustering_run_config.json",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/resolve_configuration.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/resolve_configuration.tsv"
    localrule: True
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        **stage_params("results:resolve_configuration"),
        pipeline=lambda wildcards: ensemble_of(wildcards).resolved_pipeline(),
        run=lambda wildcards: ensemble_of(wildcards).resolved_run(),
    script:
        "../workflow/scripts/stage.py"


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
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (1000 + 4 * megabytes(input)) * attempt
        ),
        runtime=lambda wildcards, input, attempt: int(reading_minutes(input) * attempt),
    params:
        **stage_params("ensemble_records:normalize"),
    script:
        "../workflow/scripts/stage.py"


# With `distances_jobs`, several jobs share the pairs of runs. They belong to no group of jobs: they run side by side.
rule align_runs:
    input:
        histories=lambda wildcards: history_files(BY_FOLDER[wildcards.folder]),
    output:
        path=temp(f"{RESULTS}/{{folder}}/{DISTANCES_MERGES}"),
    log:
        f"{RESULTS}/logs/{{folder}}/align_runs.log",
    benchmark:
        f"{RESULTS}/logs/{{folder}}/align_runs.tsv"
    wildcard_constraints:
        folder=one_of(SHARED_DISTANCES),
    priority: FIRST
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (1000 + 4 * megabytes(input)) * attempt
        ),
        runtime=lambda wildcards, input, attempt: int(reading_minutes(input) * attempt),
    params:
        **stage_params("distances:align_runs"),
    script:
        "../workflow/scripts/stage.py"


rule distances_part:
    input:
        merges=f"{RESULTS}/{{folder}}/{DISTANCES_MERGES}",
    output:
        path=temp(
            f"{RESULTS}/{{folder}}/{DISTANCES_PART.format(part='{part}', of='{of}')}"
        ),
    log:
        f"{RESULTS}/logs/{{folder}}/distances_part/part_{{part}}_of_{{of}}.log",
    benchmark:
        f"{RESULTS}/logs/{{folder}}/distances_part/part_{{part}}_of_{{of}}.tsv"
    wildcard_constraints:
        folder=one_of(SHARED_DISTANCES),
        part=r"\d+",
        of=r"\d+",
    priority: FIRST
    conda:
        "../envs/spdclust.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (1000 + part_megabytes(BY_FOLDER[wildcards.folder], input.merges))
            * attempt
        ),
        runtime=lambda wildcards, input, attempt: int(
            part_minutes(BY_FOLDER[wildcards.folder], input.merges) * attempt
        ),
    params:
        **stage_params("distances:distances_part"),
        methods=lambda wildcards: BY_FOLDER[wildcards.folder].methods,
        stride=lambda wildcards: BY_FOLDER[wildcards.folder].stride,
        part=lambda wildcards: int(wildcards.part),
        n_parts=lambda wildcards: int(wildcards.of),
    script:
        "../workflow/scripts/stage.py"


# The outputs of a rule are fixed, so it has a form for each list of methods in use: one pass serves them all.
for number, methods in enumerate(METHOD_LISTS, start=1):

    rule:
        name:
            name_of_form("distances", f"form_{number}")
        input:
            histories=lambda wildcards: history_files(BY_FOLDER[wildcards.folder]),
            temporary_parts=distance_parts,
        output:
            [f"{RESULTS}/{{folder}}/distances_{method}.npz" for method in methods],
        log:
            f"{RESULTS}/logs/{{folder}}/distances.log",
        benchmark:
            f"{RESULTS}/logs/{{folder}}/distances.tsv"
        wildcard_constraints:
            folder=one_of(
                ensemble.folder
                for ensemble in ENSEMBLES
                if tuple(ensemble.methods) == methods
            ),
        priority: FIRST
        group:
            ensemble_group
        conda:
            "../envs/spdclust.yaml"
        threads: lambda wildcards, input: 1 if input.temporary_parts else 4
        resources:
            mem_mb=lambda wildcards, input, attempt: int(
                (
                    1000
                    + (
                        joining_megabytes(input.histories)
                        if input.temporary_parts
                        # each two runs once
                        else distances_megabytes(
                            BY_FOLDER[wildcards.folder],
                            input.histories,
                            len(BY_FOLDER[wildcards.folder].methods) / 2,
                        )
                    )
                )
                * attempt
            ),
            runtime=lambda wildcards, input, attempt: int(
                (
                    joining_minutes(BY_FOLDER[wildcards.folder], input.histories)
                    if input.temporary_parts
                    else walking_minutes(input.histories)
                )
                * attempt
            ),
        params:
            methods=methods,
            stride=lambda wildcards: BY_FOLDER[wildcards.folder].stride,
            code=stage_fingerprint("distances"),
        script:
            "../workflow/scripts/distances.py"


rule stability:
    input:
        histories=histories_of,
    output:
        [
            f"{RESULTS}/{{run_config}}/{{ensemble}}/{name}"
            for name in STABILITY_FILES.values()
        ],
        f"{RESULTS}/{{run_config}}/{{ensemble}}/cluster_mapping_consensus_stability_drop.json",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/stability.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/stability.tsv"
    priority: FIRST
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (
                2000
                # of the runs and of shuffled ones, one method added
                + distances_megabytes(
                    ensemble_of(wildcards),
                    input.histories,
                    2 * len(ensemble_of(wildcards).methods) + 2,
                )
            )
            * attempt
        ),
        # the runs, and shuffled ones
        runtime=lambda wildcards, input, attempt: int(
            2 * walking_minutes(input.histories) * attempt
        ),
    params:
        **stage_params("stability:stability"),
        methods=lambda wildcards: ensemble_of(wildcards).methods,
        folder=output_folder,
        stride=lambda wildcards: ensemble_of(wildcards).stride,
        mapping_names=lambda wildcards: {
            "ensemble": ensemble_name(wildcards),
            "model": model_name(wildcards),
        },
        mapping_cuts=["stability_drop"],  # the other one is cheap, and has a rule
    script:
        "../workflow/scripts/stage.py"


rule map_run:
    input:
        history=f"{RESULTS}/{{run_config}}/{{ensemble}}/runs/run_{{run}}/history.zip",
    output:
        path=f"{RESULTS}/{{run_config}}/{{ensemble}}/cluster_mapping_run_{{run}}_{{cut}}.json",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/map_run_{{run}}_{{cut}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/map_run_{{run}}_{{cut}}.tsv"
    wildcard_constraints:
        cut=r"least_mdl|(merges|groups|iteration)_\d+",
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (1000 + 2 * megabytes(input)) * attempt
        ),
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        **stage_params("stability:map_run"),
        cut=lambda wildcards: wildcards.cut,
        run=lambda wildcards: int(wildcards.run),
        ensemble=ensemble_name,
        model=model_name,
    script:
        "../workflow/scripts/stage.py"


rule map_consensus:
    input:
        histories=histories_of,
    output:
        path=f"{RESULTS}/{{run_config}}/{{ensemble}}/cluster_mapping_consensus_{{cut}}.json",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/map_consensus_{{cut}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/map_consensus_{{cut}}.tsv"
    wildcard_constraints:
        cut=r"least_mdl|(merges|groups|iteration)_\d+",  # stability_drop comes with the stability analysis
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (1000 + 4 * megabytes(input)) * attempt
        ),
        runtime=lambda wildcards, input, attempt: int(
            walking_minutes(input.histories) * attempt
        ),
    params:
        **stage_params("stability:map_consensus"),
        cut=lambda wildcards: wildcards.cut,
        ensemble=ensemble_name,
        model=model_name,
    script:
        "../workflow/scripts/stage.py"


rule register:
    input:
        histories=histories_of,
    output:
        path=f"{RESULTS}/{{run_config}}/{{ensemble}}/registered.json",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/register.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/register.tsv"
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=1000,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        **stage_params("ensemble_records:register"),
        settings=lambda wildcards: ensemble_of(wildcards).identity(),
    script:
        "../workflow/scripts/stage.py"


rule registry:
    input:
        registered_files(ENSEMBLES),
    output:
        path=f"{RESULTS}/ensemble_registry.db",
    log:
        f"{RESULTS}/logs/registry.log",
    benchmark:
        f"{RESULTS}/logs/registry.tsv"
    localrule: True
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        **stage_params("results:registry"),
    script:
        "../workflow/scripts/stage.py"


rule summarize:
    input:
        histories=histories_of,
        distances=lambda wildcards: list(distance_files(wildcards).values()),
        stability=f"{RESULTS}/{{run_config}}/{{ensemble}}/stability.json",
        groups=f"{RESULTS}/{{run_config}}/{{ensemble}}/{GROUPS['record']}",
    output:
        path=f"{RESULTS}/{{run_config}}/{{ensemble}}/summary.json",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/summarize.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/summarize.tsv"
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        **stage_params("ensemble_records:summarize_ensemble"),
        distances=distance_files,
    script:
        "../workflow/scripts/stage.py"
