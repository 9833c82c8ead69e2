# Loads the configuration and names files; holds no rules.
import os
import re
import sys

from snakemake.settings.enums import Quietness

from spdclust.config.load import validate
from spdclust.config.resolve import WorkflowConfig, resolve_workflow
from spdclust.datasets.settings import local_data_files
from spdclust.errors import InputError
from spdclust.files.atomic import check_writable
from spdclust.explorer.page import assets_digest
from spdclust.files.own_folders import batches_per_run, files_beside, own_files
from spdclust.files.quick_sizes import batch_shape, history_length
from spdclust.locks import forget_owner, note_owner, release_dead_locks
from spdclust.models.checkpoint import resolve_checkpoint
from spdclust.models.loader_names import loader_digest, model_files
from spdclust.models.wandb_paths import parse_wandb_path
from spdclust.plotting.names import (
    ACTIVATION_FIGURES,
    CURVE_FIGURES,
    GROUP_FIGURES,
    STABILITY_FIGURES,
)
from spdclust.name_patterns import one_of
from spdclust.provenance import stage_fingerprint
from spdclust.stability.names import AUTOMATIC_CUTS, STABILITY_FILES
from spdclust.files.summaries import format_summaries, format_sweeps
from spdclust.sweeps.names import SWEEP_FIGURES, SWEEP_FILES


def load_ensembles():
    """All ensembles of the configuration, the local files of their models or of their activations, and how many
    batches each has; one line if something is wrong."""
    try:
        settings = validate(WorkflowConfig, config, file="configuration")
        ensembles = resolve_workflow(settings)
        checkpoints = {
            ensemble.run_name: resolve_checkpoint(ensemble.run.model_source)
            for ensemble in ensembles
            if ensemble.run.model_source is not None and ensemble.run.loader is None
            # downloaded by the first job that needs it
            and parse_wandb_path(ensemble.run.model_source) is None
            and ensemble.run.precomputed_activations_dir is None
        }
        n_batches = {
            ensemble.folder: batches_per_run(ensemble.run) for ensemble in ensembles
        }
        own = {
            (ensemble.run_name, run): own_files(
                ensemble.run.precomputed_activations_dir, run
            )
            for ensemble in ensembles
            if ensemble.run.precomputed_activations_dir is not None
            for run in range(ensemble.n_runs)
        }
    except InputError as error:
        sys.exit(f"Error: {error}")
    size = settings.figures.model_dump()
    return settings.results, ensembles, checkpoints, n_batches, own, size


RESULTS, ENSEMBLES, CHECKPOINTS, N_BATCHES, OWN_FILES, FIGURE_SIZE = load_ensembles()
BY_FOLDER = {ensemble.folder: ensemble for ensemble in ENSEMBLES}
BATCHES_PER_RUN = {
    ensemble.run_name: max(
        N_BATCHES[other.folder]
        for other in ENSEMBLES
        if other.run_name == ensemble.run_name
    )
    for ensemble in ENSEMBLES
}
# Runs by the number of their batches and whether those stay; temporary only if nobody keeps them.
BATCH_KINDS = {
    name: (
        n,
        any(
            ensemble.run.keep_batches
            for ensemble in ENSEMBLES
            if ensemble.run_name == name
        ),
    )
    for name, n in BATCHES_PER_RUN.items()
}
SAMPLING = {ensemble.run_name: ensemble.run for ensemble in ENSEMBLES}
# Sweeps by the folder of their comparison.
SWEEPS = {
    folder: [ensemble for ensemble in ENSEMBLES if ensemble.sweep_folder == folder]
    for folder in dict.fromkeys(ensemble.sweep_folder for ensemble in ENSEMBLES)
    if folder is not None
}
METHODS_ASKED = sorted(
    {method for ensemble in ENSEMBLES for method in ensemble.methods}
)
METHOD_LISTS = sorted({tuple(ensemble.methods) for ensemble in ENSEMBLES})


wildcard_constraints:
    run_config=one_of(SAMPLING),
    ensemble=one_of(ensemble.name for ensemble in ENSEMBLES),
    run=r"\d+",
    batch=r"\d+",
    method="|".join(METHODS_ASKED),
    curve="|".join(CURVE_FIGURES),
    sweep=one_of(folder.split("/")[1] for folder in SWEEPS),
    sweep_figure="|".join(SWEEP_FIGURES),


def megabytes(files):
    """Size of files; `input.size_mb` is the same, and starts an event loop for every job of a plan."""
    return sum(os.path.getsize(file) for file in files) / 2**20


def merging_megabytes(wildcards, batches):
    """Memory of one merge: what is active where in one batch, and half a matrix of coactivations."""
    try:
        n_components = max(batch_shape(file)[1] for file in batches)
    except InputError:  # the merge says it better
        n_components = 0
    scalar = ensemble_of(wildcards).run.merge_config.activation_threshold is None
    # half of 4 or 8 bytes, and a quarter more: merged groups take new rows
    per_pair = 6 if scalar else 3
    entries = 8 * max(megabytes([file]) for file in batches)
    return 1000 + entries + per_pair * n_components**2 / 2**20


def distances_megabytes(ensemble, histories, n_arrays):
    """Memory of arrays of distances: 8 bytes for each iteration and each two runs."""
    rows = max(history_length(file) for file in histories) // ensemble.stride
    return megabytes(histories) * 4 + 8 * rows * len(histories) ** 2 * n_arrays / 2**20


def ensemble_of(wildcards):
    return BY_FOLDER[f"{wildcards.run_config}/{wildcards.ensemble}"]


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


def checkpoint_files(wildcards):
    run = SAMPLING[wildcards.run_config]
    source = CHECKPOINTS.get(wildcards.run_config)
    if source is None:
        return model_files(run.loader, run.model_source)
    return [str(source.weights), str(source.config_file)]


def loader_code(wildcards):
    try:
        return loader_digest(SAMPLING[wildcards.run_config].loader)
    except InputError as error:
        sys.exit(f"Error: {error}")


def batch_outputs(n_batches, kept):
    # updated, not made anew: the script keeps the batches that are there and still right
    mark = update if kept else temp
    return [
        mark(
            f"{RESULTS}/{{run_config}}/precomputed_batches/run_{{run}}/batch_{batch}.pt"
        )
        for batch in range(n_batches)
    ]


def data_files(wildcards):
    own = OWN_FILES.get((wildcards.run_config, int(wildcards.run)), [])
    return local_data_files(SAMPLING[wildcards.run_config]) + files_beside(own)


def own_activation_files(wildcards):
    own = OWN_FILES.get((wildcards.run_config, int(wildcards.run)), [])
    return own[: BATCHES_PER_RUN[wildcards.run_config]]


def batch_seeds(wildcards):
    sampled, n = SAMPLING[wildcards.run_config], BATCHES_PER_RUN[wildcards.run_config]
    return [sampled.batch_seed(int(wildcards.run), batch) for batch in range(n)]


def merge_seed(wildcards):
    return [ensemble_of(wildcards).pipeline.base_seed, int(wildcards.run)]


def histories_of(wildcards):
    return history_files(ensemble_of(wildcards))


def points_of(wildcards):
    return SWEEPS[f"{wildcards.run_config}/{wildcards.sweep}"]


def mapping_names(wildcards):
    ensemble = ensemble_of(wildcards)
    return {"ensemble": ensemble.folder, "model": str(ensemble.run.model_source or "")}


def ensemble_files(ensembles):
    names = ["pipeline_config.yaml", "clustering_run_config.json", "ensemble_meta.json"]
    names += ["ensemble_merge_array.npz", "summary.json", *STABILITY_FILES.values()]
    names += [f"cluster_mapping_consensus_{cut}.json" for cut in AUTOMATIC_CUTS]
    return [
        f"{folder_of(ensemble)}/{name}" for ensemble in ensembles for name in names
    ] + [
        f"{folder_of(ensemble)}/distances_{method}.npz"
        for ensemble in ensembles
        for method in ensemble.methods
    ]


def figure_files(ensembles):
    """Those that everyone wants; what else there is for other runs and iterations is a target all the same."""
    stems = [
        f"{folder_of(ensemble)}/plots/{name}"
        for ensemble in ensembles
        for name in [
            *CURVE_FIGURES,
            "merge_tree_run_0",
            *STABILITY_FIGURES,
            *GROUP_FIGURES,
            *(f"distances_{method}" for method in ensemble.methods),
            f"runs_{ensemble.methods[0]}",
        ]
    ]
    # temporary batches would be drawn again for them
    kept = [ensemble for ensemble in ensembles if BATCH_KINDS[ensemble.run_name][1]]
    stems += [
        f"{folder_of(ensemble)}/plots/merge_state_run_0_least_mdl" for ensemble in kept
    ]
    stems += [
        f"{RESULTS}/{run_config}/plots/activations_run_0_{name}"
        for run_config in dict.fromkeys(ensemble.run_name for ensemble in kept)
        for name in ACTIVATION_FIGURES
    ]
    return [f"{stem}.{suffix}" for stem in stems for suffix in ("png", "pdf")]


def page_files(ensembles):
    return [f"{folder_of(ensemble)}/explorer.html" for ensemble in ensembles]


def first_batches(wildcards):
    """The first batch of every run; none where batches are temporary, which no page is worth making again."""
    ensemble = ensemble_of(wildcards)
    if not BATCH_KINDS[ensemble.run_name][1]:
        return []
    return [batch_files(ensemble, run)[0] for run in range(ensemble.n_runs)]


def sweep_files(sweeps):
    return [
        f"{RESULTS}/{folder}/{name}"
        for folder in sweeps
        for name in SWEEP_FILES.values()
    ]


def sweep_figure_files(sweeps):
    return [
        f"{RESULTS}/{folder}/plots/{figure}.{suffix}"
        for folder in sweeps
        for figure in SWEEP_FIGURES
        for suffix in ("png", "pdf")
    ]


def tracked_to(wildcards):
    """Where the records of an ensemble go; rules that use it are in the plan of tracked ensembles only."""
    settings = ensemble_of(wildcards).tracking
    if settings is None:
        sys.exit(
            f"Error: {folder_of(ensemble_of(wildcards))}: no W&B project is named; set wandb_project, or use: "
            f"spdclust wandb-sync {folder_of(ensemble_of(wildcards))} --project <project>"
        )
    return settings.model_dump(mode="json")


def tracks_batches(wildcards):
    """Whether this ensemble is the one that logs the activations that several ensembles may share."""
    tracked = [ensemble for ensemble in ENSEMBLES if ensemble.tracking is not None]
    sharing = [each for each in tracked if each.run_name == wildcards.run_config]
    first = [each for each in sharing if int(wildcards.run) < each.n_runs][:1]
    return [each.name for each in first] == [wildcards.ensemble]


def tracking_files(ensembles):
    return [
        f"{RESULTS}/logs/{ensemble.folder}/tracking/{name}.done"
        for ensemble in ensembles
        if ensemble.tracking is not None
        for name in ["ensemble", *(f"run_{run}" for run in range(ensemble.n_runs))]
    ]


def refuse_unwritable_results():
    try:
        check_writable(RESULTS)
    except InputError as error:
        sys.exit(f"Error: {error}")


def print_summary(ensembles, sweeps):
    said = [
        format_summaries([folder_of(ensemble) for ensemble in ensembles]),
        format_sweeps([f"{RESULTS}/{folder}" for folder in sweeps]),
    ]
    print("\n\n".join(filter(None, said)), file=sys.stderr)


def print_plan(ensembles):
    """One line an ensemble, for `snakemake -n -q`, which says nothing about the jobs itself."""
    for ensemble in ensembles:
        wanted = ensemble_files([ensemble]) + figure_files([ensemble])
        wanted += page_files([ensemble])
        merges, present = history_files(ensemble), lambda files: sum(
            map(os.path.exists, files)
        )
        print(
            f"{folder_of(ensemble)}: {present(merges)} of {len(merges)} histories and "
            f"{present(wanted)} of {len(wanted)} results are there "
            f"({BATCHES_PER_RUN[ensemble.run_name]} batch(es) a run, {', '.join(ensemble.methods)})"
        )
    print(
        "`snakemake -n -q rules` counts the jobs that are due, `snakemake -n` gives their reasons."
    )


if workflow.output_settings.dryrun and Quietness.PROGRESS in (
    workflow.output_settings.quiet or ()
):
    print_plan(ENSEMBLES)


if (
    workflow.is_main_process
    and not workflow.output_settings.dryrun
    and release_dead_locks()
):
    print(
        "The last run of this workflow was killed; its locks are released.",
        file=sys.stderr,
    )
