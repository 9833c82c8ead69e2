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
        "ensemble"
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        method=lambda wildcards: wildcards.method,
        code=stage_fingerprint("plot_distances"),
    script:
        "../workflow/scripts/plot_distances.py"


rule plot_curve:
    input:
        histories=histories_of,
    output:
        png=report(
            f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/{{curve}}.png",
            caption="../report/captions/curves.rst",
            category="Merges",
            labels={"ensemble": "{ensemble}", "figure": "{curve}"},
        ),
        pdf=f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/{{curve}}.pdf",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_{{curve}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_{{curve}}.tsv"
    group:
        "ensemble"
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(
            (1000 + 2 * input.size_mb) * attempt
        ),
        runtime=10,
    params:
        curve=lambda wildcards: wildcards.curve,
        code=stage_fingerprint("plot_curve"),
    script:
        "../workflow/scripts/plot_curve.py"


rule plot_stability:
    input:
        record=f"{RESULTS}/{{run_config}}/{{ensemble}}/stability.json",
        iterations=f"{RESULTS}/{{run_config}}/{{ensemble}}/stability_iterations.csv",
    output:
        png=report(
            f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/{{stability_figure}}.png",
            caption="../report/captions/stability_figures.rst",
            category="Stability",
            labels={"ensemble": "{ensemble}", "figure": "{stability_figure}"},
        ),
        pdf=f"{RESULTS}/{{run_config}}/{{ensemble}}/plots/{{stability_figure}}.pdf",
    log:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_{{stability_figure}}.log",
    benchmark:
        f"{RESULTS}/logs/{{run_config}}/{{ensemble}}/plot_{{stability_figure}}.tsv"
    wildcard_constraints:
        stability_figure="stability|contested",
    group:
        "ensemble"
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        figure=lambda wildcards: wildcards.stability_figure,
        code=stage_fingerprint("plot_stability"),
    script:
        "../workflow/scripts/plot_stability.py"
