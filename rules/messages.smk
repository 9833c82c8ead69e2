# Messages before and after the jobs of the workflow, and checks at its start.
import os
import sys

from snakemake.settings.enums import Quietness

from spdclust.config.resolve import unused_keys
from spdclust.core.errors import InputError
from spdclust.core.atomic import check_writable
from spdclust.execution.forked_jobs import fork_local_jobs
from spdclust.execution.running_jobs import left_behind, queued_jobs
from spdclust.execution.snakemake_hooks import (
    end_at_any_moment,
    forget_owner,
    hide_account_guesses,
    keep_files_of_failed_updates,
    leave_out_of_records,
    note_owner,
    release_dead_locks,
    report_each_refusal_once,
    report_jobs_that_never_start,
    retry_killed_jobs_only,
)
from spdclust.execution.terminal import (
    explain_missing_targets,
    hide_start,
    print_one_line_per_job,
)


def refuse_unwritable_results():
    try:
        check_writable(RESULTS)
    except InputError as error:
        sys.exit(f"Error: {error}")


def refuse_models_that_do_not_fit():
    """Before anything is sampled or merged: tensors that are not those of the configuration, filters that match no
    module."""
    # a start that only draws figures need not import what reads models
    if not any(
        job.rule.name.startswith(("precompute_batches", "merge"))
        for job in workflow.dag.needrun_jobs()
    ):
        return
    from spdclust.sampling.estimate import check_model

    for ensemble in ENSEMBLES:
        try:
            check_model(ensemble.run, plain_only=True)
        except InputError as error:
            sys.exit(f"Error: {error.located(file=ensemble.run_file)}")


def look_after_the_queue():
    """On Slurm: stop if jobs of a killed start would be submitted twice, report those that can never start."""
    if workflow.executor_plugin.name != "slurm":
        return
    problem = left_behind(queued_jobs())
    if problem is not None:
        sys.exit(f"Error: {problem}")
    report_jobs_that_never_start()


def start_job_server():
    """Local jobs are copies of a process that has imported what they need."""
    if (
        workflow.is_main_process
        and IS_OWN_WORKFLOW
        and workflow.executor_plugin.name == "local"
    ):
        fork_local_jobs(sum(job.is_script for job in workflow.dag.needrun_jobs()))


def summary(ensembles, sweeps):
    """What was found, or why it cannot be read: an error here must not fail a finished workflow."""
    from spdclust.files.summaries import format_summaries, format_sweeps

    folders = [folder_of(ensemble) for ensemble in ensembles]
    try:
        lines = [
            format_summaries(folders),
            format_sweeps([f"{RESULTS}/{folder}" for folder in sweeps]),
        ]
    except InputError as error:
        lines = [f"Error: {error}"]
    return "\n\n".join(filter(None, lines))


def print_summary(ensembles, sweeps):
    found = summary(ensembles, sweeps)
    if found:
        print(f"\n{found}", file=sys.stderr)


def print_plan(ensembles):
    """One line an ensemble, for `snakemake -n -q`, which prints nothing about the jobs itself."""
    for ensemble in ensembles:
        targets = ensemble_files([ensemble]) + figure_files([ensemble])
        targets += page_files([ensemble])
        merges, present = history_files(ensemble), lambda files: sum(
            map(os.path.exists, files)
        )
        n_batches = BATCHES_PER_RUN[ensemble.run_name]
        print(
            f"{folder_of(ensemble)}: {present(merges)} of {len(merges)} histories and "
            f"{present(targets)} of {len(targets)} results are there "
            f"({n_batches} batch{'es' if n_batches > 1 else ''} a run, {', '.join(ensemble.methods)})"
        )
    print(
        "The same command with `-q rules` instead of `-q` counts the jobs to run; without `-q` it gives their reasons."
    )


def names_of_targets():
    """What can be asked for: the rules, and the files that they make."""
    files = [str(file) for rule in workflow.rules for file in rule.output]
    return files + [rule.name for rule in workflow.rules if not rule.has_wildcards()]


def print_unused_keys(pipelines):
    """Keys of the reference implementation that a user might count on."""
    for path in pipelines:
        for line in unused_keys(path):
            print(line, file=sys.stderr)


# another workflow that uses this one as a module keeps its terminal and its way to start jobs
IS_OWN_WORKFLOW = os.path.realpath(workflow.main_snakefile) == os.path.realpath(
    SNAKEFILE
)

# the process of a job on a node removes the files of a failed job, too
keep_files_of_failed_updates()

# how many jobs share the distances makes no finished distances due
leave_out_of_records("temporary_parts")


if workflow.is_main_process:
    print_unused_keys(config["pipelines"])
    retry_killed_jobs_only()
    end_at_any_moment()
    report_each_refusal_once()
    hide_account_guesses()
    # all of Snakemake's output: --verbose
    if IS_OWN_WORKFLOW and not (
        workflow.output_settings.dryrun
        or workflow.output_settings.verbose
        or workflow.output_settings.quiet
    ):
        print_one_line_per_job(lambda: summary(ENSEMBLES, SWEEPS))
    if IS_OWN_WORKFLOW:
        explain_missing_targets(names_of_targets, {*BY_FOLDER, *SWEEPS})


if (
    workflow.is_main_process
    and IS_OWN_WORKFLOW
    and workflow.output_settings.dryrun
    and not workflow.output_settings.verbose
):
    hide_start()


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
