# From the checkpoint of a decomposed model to groups of components and how far to trust them:
# batches -> histories -> ensembles -> figures. See README.md and config/README.md.
import atexit
import gc

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/names.smk"
include: "rules/resources.smk"
include: "rules/messages.smk"
include: "rules/corpus.smk"
include: "rules/batches.smk"
include: "rules/merges.smk"
include: "rules/ensembles.smk"
include: "rules/groups.smk"
include: "rules/figures.smk"
include: "rules/explorer.smk"
include: "rules/sweeps.smk"
include: "rules/report.smk"
include: "rules/tracking.smk"


# Python searches all objects for unused ones, again and again, and once more at its end. What exists now stays in use,
# and so does most of a plan.
gc.freeze()
gc.set_threshold(100_000)
atexit.register(gc.freeze)


rule all:
    default_target: True
    input:
        ensemble_files(ENSEMBLES),
        figure_files(ENSEMBLES),
        page_files(ENSEMBLES),
        sweep_files(SWEEPS),
        sweep_figure_files(SWEEPS),
        tracking_files(ENSEMBLES),
        f"{RESULTS}/ensemble_registry.db",


rule batches:
    input:
        [
            batch_files(ensemble, run)
            for ensemble in ENSEMBLES
            for run in range(ensemble.n_runs)
        ],


rule histories:
    input:
        [history_files(ensemble) for ensemble in ENSEMBLES],
        evidence_of_temporary_batches(ENSEMBLES),


rule ensembles:
    input:
        ensemble_files(ENSEMBLES),
        sweep_files(SWEEPS),


rule figures:
    input:
        figure_files(ENSEMBLES),
        page_files(ENSEMBLES),
        sweep_figure_files(SWEEPS),


rule tracking:
    input:
        tracking_files(ENSEMBLES),


rule report:
    input:
        f"{RESULTS}/report.html",


onstart:
    refuse_unwritable_results()
    refuse_models_that_do_not_fit()
    look_after_the_queue()
    note_owner()
    start_job_server()


onsuccess:
    forget_owner()
    print_summary(ENSEMBLES, SWEEPS)


onerror:
    forget_owner()
