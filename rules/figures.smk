# Results -> figures, each as .png and .pdf, with a caption for the report.


rule plot_distances:
    input:
        distances=f"{RESULTS}/{{run_config}}/{{ensemble}}/distances_{{method}}.npz",
    output:
        png=report(
            f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/distances_{{method}}.png",
            caption="../report/captions/distances.rst",
            category="Distances",
            labels={"ensemble": "{ensemble}", "figure": "{method}"},
        ),
        pdf=f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/distances_{{method}}.pdf",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_distances_{{method}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_distances_{{method}}.tsv"
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        method=lambda wildcards: wildcards.method,
        size=FIGURE_SIZE,
        code=stage_fingerprint("plot_distances"),
    script:
        "../workflow/scripts/plot_distances.py"


rule plot_curves:
    input:
        histories=histories_of,
    output:
        drawn(
            f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/",
            CURVE_FIGURES,
            category="Merges",
            labels={"ensemble": "{ensemble}"},
        ),
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_curves.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_curves.tsv"
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
        size=FIGURE_SIZE,
        code=stage_fingerprint("plot_curves"),
    script:
        "../workflow/scripts/plot_curves.py"


rule plot_stability:
    input:
        record=f"{RESULTS}/{{run_config}}/{{ensemble}}/{STABILITY_FILES['record']}",
        iterations=f"{RESULTS}/{{run_config}}/{{ensemble}}/{STABILITY_FILES['iterations']}",
    output:
        drawn(
            f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/",
            STABILITY_FIGURES,
            category="Stability",
            labels={"ensemble": "{ensemble}"},
        ),
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_stability.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_stability.tsv"
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        size=FIGURE_SIZE,
        code=stage_fingerprint("plot_stability"),
    script:
        "../workflow/scripts/plot_stability.py"


rule plot_runs:
    input:
        distances=f"{RESULTS}/{{run_config}}/{{ensemble}}/distances_{{method}}.npz",
        record=f"{RESULTS}/{{run_config}}/{{ensemble}}/{STABILITY_FILES['record']}",
    output:
        png=report(
            f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/runs_{{method}}.png",
            caption="../report/captions/runs.rst",
            category="Stability",
            labels={"ensemble": "{ensemble}", "figure": "runs, {method}"},
        ),
        pdf=f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/runs_{{method}}.pdf",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_runs_{{method}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_runs_{{method}}.tsv"
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        method=lambda wildcards: wildcards.method,
        size=FIGURE_SIZE,
        code=stage_fingerprint("plot_runs"),
    script:
        "../workflow/scripts/plot_runs.py"


rule plot_groups:
    input:
        record=f"{RESULTS}/{{run_config}}/{{ensemble}}/{STABILITY_FILES['record']}",
        components=f"{RESULTS}/{{run_config}}/{{ensemble}}/{STABILITY_FILES['components']}",
        groups=f"{RESULTS}/{{run_config}}/{{ensemble}}/{STABILITY_FILES['groups']}",
        coclustering=f"{RESULTS}/{{run_config}}/{{ensemble}}/{STABILITY_FILES['coclustering']}",
    output:
        drawn(
            f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/",
            GROUP_FIGURES,
            category="Stability",
            labels={"ensemble": "{ensemble}"},
        ),
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_groups.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_groups.tsv"
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (1000 + 8 * megabytes(input)) * attempt
        ),
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        size=FIGURE_SIZE,
        code=stage_fingerprint("plot_groups"),
    script:
        "../workflow/scripts/plot_groups.py"


rule plot_found_groups:
    input:
        record=f"{RESULTS}/{{run_config}}/{{ensemble}}/{GROUPS['record']}",
        batch=lambda wildcards: first_batches(wildcards)[:1],
    output:
        drawn(
            f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/",
            FOUND_FIGURES,
            category="Groups",
            labels={"ensemble": "{ensemble}"},
        ),
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_found_groups.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_found_groups.tsv"
    group:
        "ensemble"
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (1500 + 8 * megabytes(input)) * attempt
        ),
        runtime=10,
    params:
        size=FIGURE_SIZE,
        code=stage_fingerprint("plot_found_groups"),
    script:
        "../workflow/scripts/plot_found_groups.py"


rule plot_merge_tree:
    input:
        history=f"{RESULTS}/{{run_config}}/{{ensemble}}/runs/run_{{run}}/history.zip",
    output:
        png=report(
            f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/merge_tree_run_{{run}}.png",
            caption="../report/captions/merge_tree.rst",
            category="Merges",
            labels={"ensemble": "{ensemble}", "figure": "merge tree, run {run}"},
        ),
        pdf=f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/merge_tree_run_{{run}}.pdf",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_merge_tree_run_{{run}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_merge_tree_run_{{run}}.tsv"
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        title=lambda wildcards: f"Merge tree of run {wildcards.run}",
        size=FIGURE_SIZE,
        code=stage_fingerprint("plot_merge_tree"),
    script:
        "../workflow/scripts/plot_merge_tree.py"


rule plot_merge_state:
    input:
        history=f"{RESULTS}/{{run_config}}/{{ensemble}}/runs/run_{{run}}/history.zip",
        batches=lambda wildcards: batch_files(ensemble_of(wildcards), wildcards.run),
    output:
        png=report(
            f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/merge_state_run_{{run}}_{{moment}}.png",
            caption="../report/captions/merge_state.rst",
            category="Merges",
            labels={"ensemble": "{ensemble}", "figure": "run {run}, {moment}"},
        ),
        pdf=f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/merge_state_run_{{run}}_{{moment}}.pdf",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_merge_state_run_{{run}}_{{moment}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_merge_state_run_{{run}}_{{moment}}.tsv"
    wildcard_constraints:
        moment=r"least_mdl|iteration_\d+",
    group:
        ensemble_group
    conda:
        "../envs/spdclust.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            merging_megabytes(wildcards, input.batches) * attempt
        ),
        runtime=lambda wildcards, input, attempt: int(
            2 * reading_minutes(input) * attempt
        ),
    params:
        moment=lambda wildcards: wildcards.moment,
        title=lambda wildcards: f"Run {wildcards.run}",
        size=FIGURE_SIZE,
        code=stage_fingerprint("plot_merge_state"),
    script:
        "../workflow/scripts/plot_merge_state.py"


rule plot_merge_candidates:
    input:
        history=f"{RESULTS}/{{run_config}}/{{ensemble}}/runs/run_{{run}}/history.zip",
        batches=lambda wildcards: batch_files(ensemble_of(wildcards), wildcards.run),
    output:
        png=report(
            f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/merge_candidates_run_{{run}}.png",
            caption="../report/captions/merge_candidates.rst",
            category="Merges",
            labels={"ensemble": "{ensemble}", "figure": "merge candidates, run {run}"},
        ),
        pdf=f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/merge_candidates_run_{{run}}.pdf",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_merge_candidates_run_{{run}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_merge_candidates_run_{{run}}.tsv"
    group:
        "ensemble"
    conda:
        "../envs/spdclust.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            merging_megabytes(wildcards, input.batches) * attempt
        ),
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        title=lambda wildcards: f"Run {wildcards.run}",
        size=FIGURE_SIZE,
        code=stage_fingerprint("plot_merge_candidates"),
    script:
        "../workflow/scripts/plot_merge_candidates.py"


rule plot_activations:
    input:
        batch=f"{RESULTS}/{{run_config}}/precomputed_batches/run_{{run}}/batch_0.pt",
    output:
        drawn(
            f"{RESULTS}/{{run_config}}/plots/activations_run_{{run}}_",
            ACTIVATION_FIGURES,
            captions="activations_",
            category="Activations",
            labels={"model": "{run_config}", "run": "{run}"},
        ),
    log:
        f"{RESULTS}/logs/{{run_config}}/plot_activations_run_{{run}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/plot_activations_run_{{run}}.tsv"
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (1500 + 4 * megabytes(input)) * attempt
        ),
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        size=FIGURE_SIZE,
        code=stage_fingerprint("plot_activations"),
    script:
        "../workflow/scripts/plot_activations.py"
