# Results -> figures, each as .png and .pdf, with a caption for the report. One rule for each entry of
# spdclust.plotting.registry, which holds what differs between them.
from spdclust.plotting.registry import INPUTS, figure_code

# Inputs whose files depend on the configuration.
FOUND_INPUTS = {
    "histories": histories_of,
    "batches": lambda wildcards: batch_files(ensemble_of(wildcards), wildcards.run),
    "kept_batch": lambda wildcards: first_batches(wildcards)[:1],
}


def figure_inputs(figures):
    files = {name: INPUTS[name].file for name in figures.inputs}
    return {
        name: FOUND_INPUTS[name] if file is None else f"{RESULTS}/{file}"
        for name, file in files.items()
    }


def figure_outputs(figures):
    """The files of each figure by its key: .png, for the report, and .pdf."""
    files = {}
    for figure in figures.figures:
        stem = f"{RESULTS}/{figures.stem(figure)}"
        picture = report(
            f"{stem}.png",
            caption=f"../report/captions/{figure.key}.rst",
            category=figures.category,
            labels=figures.labels
            | {"figure": figure.label or figure.part or figure.key},
        )
        files[figure.key] = [picture, f"{stem}.pdf"]
    return files


def by_size(least, per_megabyte):
    """A resource, known before there is any input where that does not count."""
    if not per_megabyte:
        return lambda wildcards, attempt: int(least * attempt)
    return lambda wildcards, input, attempt: int(
        (least + per_megabyte * megabytes(input)) * attempt
    )


def figure_megabytes(figures):
    if not figures.repeats_merge:
        return by_size(*figures.memory)
    return lambda wildcards, input, attempt: int(
        merging_megabytes(wildcards, input.batches) * attempt
    )


def figure_arguments(figures):
    return lambda wildcards: {
        name: value.format(**dict(wildcards.items()))
        for name, value in figures.arguments.items()
    } | {
        name: getattr(SAMPLING[wildcards.run_config].merge_config, name)
        for name in figures.settings
    }


for figures in FIGURE_RULES.values():

    rule:
        name:
            figures.name
        input:
            **figure_inputs(figures),
        output:
            **figure_outputs(figures),
        log:
            f"{RESULTS}/logs/{figures.log}.log",
        benchmark:
            f"{RESULTS}/logs/{figures.log}.tsv"
        group:
            ensemble_group if figures.of == "ensemble" else None
        conda:
            "../envs/spdclust.yaml"
        threads: 1
        resources:
            mem_mb=figure_megabytes(figures),
            runtime=by_size(*figures.minutes),
        params:
            figures=figures.name,
            arguments=figure_arguments(figures),
            size=FIGURE_SIZE,
            code=stage_fingerprint(
                "results:draw_figures", "figures", figure_code(figures)
            ),
        script:
            "../workflow/scripts/figures.py"
