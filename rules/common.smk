# Load the configuration, and the look-ups that rules use.
import os
import sys
from functools import cache
from pathlib import Path

from spdclust.config.load import validate
from spdclust.config.resolve import WorkflowConfig, resolve_workflow
from spdclust.sampling.settings import local_data_files
from spdclust.core.errors import InputError, in_setting
from spdclust.user_files.folders import batches_per_run, files_beside, files_of_run
from spdclust.user_files.layout import parts_of
from spdclust.models.checkpoint import resolve_checkpoint
from spdclust.models.loader_names import loader_digest, model_files
from spdclust.models.wandb_files import parse_wandb_path
from spdclust.core.code_fingerprint import rule_fingerprint
from spdclust.execution.batch_jobs import (
    BatchesForm,
    divide_runs,
    forms_of_job,
    merged_runs,
    one_of,
    runs_asked_for,
    runs_per_job,
    sampled_runs,
)
from spdclust.execution.jobs import note_run_files
from spdclust.execution.snakemake_hooks import add_form
from spdclust.execution.jobs import package_requirement

SNAKEFILE, SCRIPTS = (
    workflow.current_basedir.join(f"../{name}").get_path_or_uri(secret_free=True)
    for name in ("Snakefile", "workflow/scripts")
)

# what envs/spdclust.post-deploy.sh installs
os.environ.setdefault("SPDCLUST_REQUIREMENT", package_requirement())


def stage_fingerprint(stage, script=None, functions=None):
    """Fingerprint of a rule's code, among its `params`: the modification time of its script does not count."""
    return rule_fingerprint(stage, f"{SCRIPTS}/{script or stage}.py", functions)


def stage_params(stage):
    """The function that `scripts/stage.py` calls, `<module>:<function>` of `spdclust.stages`, and its fingerprint."""
    code = {"call": "spdclust.execution.jobs:call_stage"}
    return {"stage": stage, "code": stage_fingerprint(stage, "stage", code)}


def name_of_form(rule_name, form):
    """Name of one form of a rule whose outputs differ in number. The first form has the name of the rule.

    What a profile, an option or a module statement names the rule for applies to all of its forms.
    """
    if form == "form_1":
        return rule_name
    name = f"{rule_name}_{form}"
    add_form(workflow, rule_name, name)
    return name


def ensemble_group(wildcards):
    """What follows the merges of one ensemble is one submission, which waits for no other ensemble."""
    folder = wildcards.get("folder") or f"{wildcards.run_config}/{wildcards.ensemble}"
    group = folder.replace(os.sep, "-")
    # several parts of the graph, which `group-components: ensemble` in a profile joins
    workflow.parent_groupids[group] = "ensemble"
    return group


def checkpoint_of(ensemble):
    with in_setting("model_path", ensemble.run_file):
        return resolve_checkpoint(ensemble.run.model_source)


def load_ensembles():
    """All ensembles of the configuration, the local files of their models, and how many batches a run of each has;
    one line if something is wrong."""
    try:
        settings = validate(WorkflowConfig, config, file="configuration")
        ensembles = resolve_workflow(settings)
        checkpoints = {
            ensemble.run_name: checkpoint_of(ensemble)
            for ensemble in ensembles
            if ensemble.run.model_source is not None and ensemble.run.loader is None
            # downloaded by the first job that needs it
            and parse_wandb_path(ensemble.run.model_source) is None
            and ensemble.run.precomputed_activations_dir is None
        }
        n_batches = {
            ensemble.folder: batches_per_run(ensemble.run, range(ensemble.n_runs))
            for ensemble in ensembles
        }
    except InputError as error:
        sys.exit(f"Error: {error}")
    size = settings.figures.model_dump()
    return settings.results, ensembles, checkpoints, n_batches, size


RESULTS, ENSEMBLES, CHECKPOINTS, N_BATCHES, FIGURE_SIZE = load_ensembles()
# jobs name it in their errors; it is no `params`, since moving the file changes no result
note_run_files(RESULTS, ENSEMBLES)
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


def batch_forms():
    """Forms of `precompute_batches`, each with its runs (None: any one), number of batches, whether they are kept, and
    run configurations.

    The form for one run a job always exists, since it has the name that covers all forms.
    """
    one_run, several = {}, {}
    for name, kind in BATCH_KINDS.items():
        if runs_per_job(SAMPLING[name]) == 1:
            one_run.setdefault(kind, []).append(name)
        elif workflow.is_main_process:
            for form in forms_of_run_config(name, *kind):
                several.setdefault(form, []).append(name)
    if not workflow.is_main_process:
        several = forms_of_job(sys.argv)
    kinds = sorted(one_run.items()) or [((1, True), [])]
    return [
        (f"form_{number}", None, *kind, names)
        for number, (kind, names) in enumerate(kinds, start=1)
    ] + [
        (form.suffix, form.runs, form.n_batches, form.kept, names)
        for form, names in several.items()
    ]


def forms_of_run_config(name, n_batches, kept):
    """The forms for several runs; which runs are together depends on the files that exist."""
    folder = f"{RESULTS}/{name}"
    of_ensembles = {
        each.name: each.n_runs for each in ENSEMBLES if each.run_name == name
    }
    n_runs = max(of_ensembles.values())
    divided = divide_runs(
        n_runs,
        runs_per_job(SAMPLING[name]),
        keep_batches=kept,
        sampled=sampled_runs(folder, n_runs, n_batches),
        merged=merged_runs(folder, n_runs),
        requested=runs_asked_for(sys.argv, folder, of_ensembles),
    )
    return [BatchesForm(runs, n_batches, kept) for runs in divided]


# Sweeps by the folder of their comparison.
SWEEPS = {
    folder: [ensemble for ensemble in ENSEMBLES if ensemble.sweep_folder == folder]
    for folder in dict.fromkeys(ensemble.sweep_folder for ensemble in ENSEMBLES)
    if folder is not None
}
# Ensembles whose distances several jobs share.
SHARED_DISTANCES = [
    ensemble.folder for ensemble in ENSEMBLES if ensemble.distances_jobs > 1
]
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
    moment=r"least_mdl|(merges|iteration)_\d+",
    sweep=one_of(folder.split("/")[1] for folder in SWEEPS),


def ensemble_of(wildcards):
    return BY_FOLDER[f"{wildcards.run_config}/{wildcards.ensemble}"]


def checkpoint_files(wildcards):
    run = SAMPLING[wildcards.run_config]
    source = CHECKPOINTS.get(wildcards.run_config)
    if source is None:
        return model_files(run.loader, run.model_source)
    return [str(source.weights), str(source.config_file)]


def gpus_for_sampling(wildcards):
    return int(SAMPLING[wildcards.run_config].may_use_gpu)


def loader_code(wildcards):
    try:
        return loader_digest(SAMPLING[wildcards.run_config].loader)
    except InputError as error:
        sys.exit(f"Error: {error}")


def data_files(wildcards):
    own = user_activation_files(wildcards)
    return local_data_files(SAMPLING[wildcards.run_config]) + files_beside(own)


def user_file_parts(own):
    """The files themselves, and those in folders that hold one batch."""
    return [part for file in own for part in parts_of(Path(file))]


def user_activation_files(wildcards):
    if "run" not in wildcards.keys():  # a job for several runs samples a model
        return []
    return list_user_files(wildcards.run_config, int(wildcards.run))


@cache
def list_user_files(run_config, run):
    sampled = SAMPLING[run_config]
    if sampled.precomputed_activations_dir is None:
        return []
    own = files_of_run(sampled.precomputed_activations_dir, run, sampled.shards)
    return own.needing(BATCHES_PER_RUN[run_config]).files


def sampling_settings(wildcards):
    """The same for every job of a run configuration: how runs are divided into jobs changes no batch."""
    sampled = SAMPLING[wildcards.run_config]
    return sampled.sampling() | {"dataset_seed": sampled.dataset_seed}


def merge_seed(wildcards):
    return [ensemble_of(wildcards).pipeline.base_seed, int(wildcards.run)]


def histories_of(wildcards):
    return history_files(ensemble_of(wildcards))


def points_of(wildcards):
    return SWEEPS[f"{wildcards.run_config}/{wildcards.sweep}"]


def ensemble_name(wildcards):
    return ensemble_of(wildcards).folder


def model_name(wildcards):
    return str(ensemble_of(wildcards).run.model_source or "")


def distance_files(wildcards):
    """The distances of an ensemble by method."""
    return {
        method: f"{folder_of(ensemble_of(wildcards))}/distances_{method}.npz"
        for method in ensemble_of(wildcards).methods
    }


def batches_by_run(wildcards):
    ensemble = ensemble_of(wildcards)
    return [batch_files(ensemble, run) for run in range(ensemble.n_runs)]


def files_of_points(wildcards):
    """Name, swept values, histories, `stability.json` and `groups.json` of each point of a sweep."""
    return [
        (
            ensemble.name,
            ensemble.sweep_point,
            history_files(ensemble),
            f"{folder_of(ensemble)}/{STABILITY_FILES['record']}",
            f"{folder_of(ensemble)}/{GROUPS['record']}",
        )
        for ensemble in points_of(wildcards)
    ]


def output_folder(wildcards, output):
    return os.path.dirname(output[0])


def first_batches(wildcards):
    """The first batch of every run; none where batches are temporary, which no page is worth making again."""
    ensemble = ensemble_of(wildcards)
    if not BATCH_KINDS[ensemble.run_name][1]:
        return []
    return [batch_files(ensemble, run)[0] for run in range(ensemble.n_runs)]


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
