"""Which runs one job samples the batches of, the names of rules for such jobs, and patterns of names.

A rule that samples several runs is defined for exactly these runs, and is named after them: a job on a node
reads the Snakefile again, when other files exist, and finds its rule by the name.
"""

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from spdclust.config.run import ClusteringRunConfig
from spdclust.files.ensemble_folder import EnsembleFolder

_RUNS = r"_runs?_(?P<first>\d+)(?:_to_(?P<last>\d+))?(?:_of_(?P<batches>\d+)_batches)?(?P<kept>_temporary)?"
_FORM = re.compile(rf"(?:_form_\d+|{_RUNS})$")
_TARGET_JOB = re.compile(rf"{_RUNS}:run_config=(?P<run_config>.+)")


@dataclass(frozen=True)
class BatchesForm:
    """A form of the rule `precompute_batches`: its jobs sample several runs, with the model loaded once.

    Attributes:
        runs: consecutive runs.
        kept: whether the batches stay when all jobs have read them.

    Example:
        >>> BatchesForm(range(4, 8), 1, True).suffix, BatchesForm(range(4, 5), 3, False).suffix
        ('runs_4_to_7', 'run_4_of_3_batches_temporary')
    """

    runs: range
    n_batches: int
    kept: bool

    @property
    def suffix(self) -> str:
        """What follows the name of the rule."""
        of = "" if self.n_batches == 1 else f"_of_{self.n_batches}_batches"
        return f"{runs_suffix(self.runs)}{of}{'' if self.kept else '_temporary'}"


def runs_suffix(runs: range) -> str:
    """Return how the names of rules and logs end in the runs of a job.

    Example:
        >>> runs_suffix(range(4, 8)), runs_suffix(range(4, 5))
        ('runs_4_to_7', 'run_4')
    """
    return f"run_{runs[0]}" if len(runs) == 1 else f"runs_{runs[0]}_to_{runs[-1]}"


def text_of_runs(runs: range) -> str:
    """Return the runs of a job for readers.

    Example:
        >>> text_of_runs(range(4, 8)), text_of_runs(range(4, 5))
        ('4 to 7', '4')
    """
    return str(runs[0]) if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"


def forms_of_job(arguments: Iterable[str]) -> dict[BatchesForm, list[str]]:
    """Return the forms that a job's process was started for, and their run configurations.

    Snakemake reads the Snakefile before its settings are known, so they come from the command line.

    Example:
        >>> forms_of_job(["--target-jobs", "precompute_batches_runs_4_to_7:run_config=mlp", "--mode"])
        {BatchesForm(runs=range(4, 8), n_batches=1, kept=True): ['mlp']}

    Args:
        arguments: of the process; its target jobs are `<rule>:<wildcards>`.
    """
    forms: dict[BatchesForm, list[str]] = {}
    for found in filter(None, map(_TARGET_JOB.search, arguments)):
        form = BatchesForm(_runs(found), int(found["batches"] or 1), found["kept"] is None)
        forms.setdefault(form, []).append(found["run_config"])
    return forms


def rule_and_runs(name: str) -> tuple[str, range | None]:
    """Return the rule that a form belongs to, and the runs that it samples, if its name gives them.

    Example:
        >>> rule_and_runs("precompute_batches_runs_4_to_7_temporary")
        ('precompute_batches', range(4, 8))
        >>> rule_and_runs("distances_form_2"), rule_and_runs("merge")
        (('distances', None), ('merge', None))
    """
    found = _FORM.search(name)
    if found is None:
        return name, None
    return name[: found.start()], None if found["first"] is None else _runs(found)


def _runs(found: re.Match[str]) -> range:
    return range(int(found["first"]), int(found["last"] or found["first"]) + 1)


def runs_per_job(run: ClusteringRunConfig) -> int | None:
    """Return how many runs a job samples at most; None for all.

    Example:
        >>> [runs_per_job(ClusteringRunConfig(model_path="m", device=device)) for device in ("auto", "cpu")]
        [None, 1]
    """
    if run.precomputed_activations_dir is not None:
        return 1
    return run.runs_per_batches_job or (None if run.may_use_gpu else 1)


def divide_runs(
    n_runs: int,
    at_most: int | None,
    *,
    keep_batches: bool = True,
    sampled: Collection[int] = (),
    merged: Collection[int] = (),
    requested: Collection[int] = (),
) -> list[range]:
    """Divide the runs of a run configuration into jobs, each of consecutive runs.

    A job that starts because a file is missing re-runs the merges of all its runs, so new runs are separate
    from those that are merged. New runs are those without a history, if any of them lacks batches: the
    job keeps what a killed job has left. Of temporary batches, the groups need those of all runs again.

    Example:
        >>> divide_runs(8, None, sampled=range(4), merged=range(4))
        [range(0, 4), range(4, 8)]
        >>> divide_runs(8, None, sampled=range(3)), divide_runs(8, 6, sampled=range(8), merged=[0])
        ([range(0, 8)], [range(0, 6), range(6, 8)])

    Args:
        n_runs: number of runs.
        at_most: runs of a job; None for any number.
        keep_batches: whether batches stay when all jobs have read them.
        sampled: runs of which all batches exist.
        merged: runs of which an ensemble has a history.
        requested: runs that the command line names: other runs are in other jobs.
    """
    unmerged = set(range(n_runs)) - set(merged)
    missing = set(range(n_runs)) - set(sampled)
    new = unmerged | (set() if keep_batches else missing) if unmerged & missing else set()

    def state(run: int) -> tuple[bool, bool, bool]:
        return run in requested, run in new, run in missing - new

    stretches = [list(runs) for _, runs in groupby(range(n_runs), key=state)]
    step = at_most or max(1, n_runs)
    return [
        range(runs[first], runs[min(first + step, len(runs)) - 1] + 1)
        for runs in stretches
        for first in range(0, len(runs), step)
    ]


def sampled_runs(folder: str | Path, n_runs: int, n_batches: int) -> set[int]:
    """Return the runs of which all batches exist.

    Example:
        >>> sampled_runs("results/no_such", 8, 1)
        set()
    """
    any_ensemble = EnsembleFolder(Path(folder) / "any_ensemble")
    folders = {run: str(any_ensemble.batches(run)) for run in range(n_runs)}
    return {
        run
        for run, batches in folders.items()
        if all(os.path.exists(f"{batches}/batch_{batch}.pt") for batch in range(n_batches))
    }


def merged_runs(folder: str | Path, n_runs: int) -> set[int]:
    """Return the runs of which an ensemble has a history, whether it is configured now or not.

    Example:
        >>> merged_runs("results/no_such", 8)
        set()
    """
    if not os.path.isdir(folder):
        return set()
    ensembles = [EnsembleFolder(Path(name)) for name in sorted(Path(folder).iterdir())]
    return {run for run in range(n_runs) if any(os.path.exists(each.history(run)) for each in ensembles)}


def runs_asked_for(arguments: Iterable[str], folder: str, n_runs: Mapping[str, int]) -> set[int]:
    """Return the runs that files named on the command line are made from.

    Example:
        >>> words = ["results/mlp/demo/summary.json", "results/mlp/precomputed_batches/run_7/batch_0.pt"]
        >>> runs_asked_for(["snakemake", *words], "results/mlp", {"demo": 2})
        {0, 1, 7}
    """
    requested: set[int] = set()
    folder = os.path.normpath(folder)
    for word in arguments:
        name = os.path.relpath(word) if os.path.isabs(word) else os.path.normpath(word)
        ensemble, _, rest = name.removeprefix(f"{folder}/").partition("/")
        if not rest or not name.startswith(f"{folder}/"):
            continue
        named = re.search(r"[/_]run_(\d+)", f"/{rest}")
        requested.update([int(named[1])] if named else range(n_runs.get(ensemble, 0)))
    return requested


def one_of(names: Iterable[str]) -> str:
    """Return a regular expression that matches each of the names and nothing else.

    Common prefixes are factored out. Snakemake scans the constraints of a path each time it fills in the
    wildcards, which took three times as long with a plain alternation of the 100 names of a sweep.

    Example:
        >>> one_of(["demo-alpha~1", "demo-alpha~2.5", "other"])
        '(?:demo\\\\-alpha\\\\~(?:1|2\\\\.5)|other)'
        >>> one_of([])  # nothing matches
        '(?!)'
    """
    ordered = sorted(set(names))
    return _one_of(ordered) if ordered else "(?!)"


def _one_of(names: list[str]) -> str:
    if len(names) == 1:
        return re.escape(names[0])
    # sorted: a prefix shared by the first and the last is shared by all
    shared = _shared(names[0], names[-1])
    branches = [
        _one_of(list(group))
        for _, group in groupby((name[shared:] for name in names), key=lambda rest: rest[:1])
    ]
    return f"{re.escape(names[0][:shared])}(?:{'|'.join(branches)})"


def _shared(first: str, last: str) -> int:
    length = min(len(first), len(last))
    return next((n for n in range(length) if first[n] != last[n]), length)
