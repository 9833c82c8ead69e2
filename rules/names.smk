# Names of files: of batches and histories, and what an ensemble and a sweep end in.
from glob import escape, glob

from spdclust.execution.batch_jobs import runs_suffix
from spdclust.files.ensemble_folder import DISTANCES_MERGES, DISTANCES_PART, GROUPS
from spdclust.plotting.registry import FIGURE_RULES
from spdclust.files.ensemble_folder import STABILITY_FILES
from spdclust.files.ensemble_folder import SWEEP_FILES


def folder_of(ensemble):
    return f"{RESULTS}/{ensemble.folder}"


def batch_files(ensemble, run):
    batches = range(N_BATCHES[ensemble.folder])
    return [
        f"{RESULTS}/{ensemble.run_name}/precomputed_batches/run_{run}/batch_{b}.pt"
        for b in batches
    ]


def history_files(ensemble):
    return [
        f"{folder_of(ensemble)}/runs/run_{run}/history.zip"
        for run in range(ensemble.n_runs)
    ]


def evidence_of_temporary_batches(ensembles):
    """The groups where batches are temporary: their evidence cannot be computed once the batches are gone."""
    return [
        f"{folder_of(ensemble)}/{GROUPS['record']}"
        for ensemble in ensembles
        if not BATCH_KINDS[ensemble.run_name][1]
    ]


def distance_parts(wildcards):
    """The temporary files that the distances are joined from; none if one job computes them."""
    ensemble = BY_FOLDER[wildcards.folder]
    n_parts = ensemble.distances_jobs
    if n_parts == 1:
        return []
    name = f"{folder_of(ensemble)}/{DISTANCES_PART}"
    return [name.format(part=part, of=n_parts) for part in range(1, n_parts + 1)]


def batch_outputs(runs, n_batches, kept):
    # updated in place: the script keeps existing batches that are still valid
    files = [
        update(
            f"{RESULTS}/{{run_config}}/precomputed_batches/run_{run}/batch_{batch}.pt"
        )
        for run in runs or ["{run}"]
        for batch in range(n_batches)
    ]
    return files if kept else [temp(file) for file in files]


def batches_log(runs):
    name = "precompute_batches/run_{run}"
    if runs:
        name = f"precompute_batches_{runs_suffix(runs)}"
    return f"{RESULTS}/logs/{{run_config}}/{name}"


def has_description_length(ensemble):
    """Scalar activations have none that means something: no shortest description."""
    return ensemble.run.merge_config.activation_threshold is not None


def ensemble_files(ensembles):
    names = ["pipeline_config.yaml", "clustering_run_config.json", "ensemble_meta.json"]
    names += ["ensemble_merge_array.npz", "summary.json", *STABILITY_FILES.values()]
    names += GROUPS.values()
    names += ["cluster_mapping_consensus_stability_drop.json"]
    return (
        [f"{folder_of(ensemble)}/{name}" for ensemble in ensembles for name in names]
        + [
            f"{folder_of(ensemble)}/cluster_mapping_consensus_least_mdl.json"
            for ensemble in ensembles
            if has_description_length(ensemble)
        ]
        + [
            f"{folder_of(ensemble)}/distances_{method}.npz"
            for ensemble in ensembles
            for method in ensemble.methods
        ]
    )


def registered_files(ensembles):
    """Of these ensembles, and of all that others left in the same results: changing pipelines makes nothing due."""
    own = {f"{folder_of(ensemble)}/registered.json" for ensemble in ensembles}
    return sorted(own.union(glob(f"{escape(RESULTS)}/*/*/registered.json")))


def figure_files(ensembles):
    """The default set; what else there is for other runs and iterations is a target all the same."""
    return _with_suffixes(
        stem
        for ensemble in ensembles
        for figures in FIGURE_RULES.values()
        if figures.of != "sweep" and _drawn_by_default(figures, ensemble)
        for stem in figures.default_stems(
            {"run_config": ensemble.run_name, "ensemble": ensemble.name},
            ensemble.methods,
        )
    )


def _drawn_by_default(figures, ensemble):
    # temporary batches would be sampled again
    if figures.needs_batches and not BATCH_KINDS[ensemble.run_name][1]:
        return False
    at_shortest = "least_mdl" in (figures.by_default or {}).values()
    return has_description_length(ensemble) or not at_shortest


def _with_suffixes(stems):
    return [
        f"{RESULTS}/{stem}.{suffix}"
        for stem in dict.fromkeys(stems)
        for suffix in ("png", "pdf")
    ]


def page_files(ensembles):
    return [f"{folder_of(ensemble)}/explorer.html" for ensemble in ensembles]


def sweep_files(sweeps):
    return [
        f"{RESULTS}/{folder}/{name}"
        for folder in sweeps
        for name in SWEEP_FILES.values()
    ]


def sweep_figure_files(sweeps):
    folders = [
        dict(zip(("run_config", "sweep"), folder.split("/"))) for folder in sweeps
    ]
    return _with_suffixes(
        stem
        for folder in folders
        for figures in FIGURE_RULES.values()
        if figures.of == "sweep"
        for stem in figures.default_stems(folder)
    )


def tracking_files(ensembles):
    return [
        f"{RESULTS}/logs/{ensemble.folder}/tracking/{name}.done"
        for ensemble in ensembles
        if ensemble.tracking is not None
        for name in ["ensemble", *(f"run_{run}" for run in range(ensemble.n_runs))]
    ]
