"""Stages: histories and batches -> groups that hold; groups and a batch -> the tokens that activate them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spdclust.core.errors import InputError, in_file
from spdclust.core.safe_reading import read_json
from spdclust.core.threads import available_threads, run_in_order
from spdclust.core.types import Labels
from spdclust.explorer.group_tokens import (
    TokenCount,
    describe_members,
    group_activity,
    marked,
    rank_tokens,
    strongest_samples,
    token_table,
)
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.batches import find_batches, kept_batches, merged_batches
from spdclust.files.ensemble_folder import GROUPS, EnsembleFolder, common_folder, find_histories, find_history
from spdclust.files.ensembles import ensemble_record
from spdclust.files.groups import load_groups, save_groups
from spdclust.files.histories import load_merge_histories, load_merge_history
from spdclust.groups.find import find_groups
from spdclust.groups.found import FoundGroups
from spdclust.merge.activations import check_threshold

log = logging.getLogger(__name__)
steps = logging.getLogger(f"{__name__}.steps")  # which commands show if they take long


def groups(
    histories: str | Path | Sequence[str | Path],
    folder: str | Path,
    *,
    ensemble: str,
    model: str = "",
    batches: Sequence[str | Path | Sequence[str | Path]] | None = None,
    threads: int | None = None,
) -> FoundGroups:
    """Write `groups.json`, its tables and `cluster_mapping_groups.json`, and return what they hold.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> ensemble = write_example_ensemble(folder)
        >>> batches = [ensemble.batches(0), ensemble.batches(1)]
        >>> found = groups(ensemble.folder, folder, ensemble=ensemble.name, batches=batches)
        >>> sorted(path.name for path in folder.glob("groups.*"))
        ['groups.csv', 'groups.json', 'groups.nwk']
        >>> sorted(found.members(group) for group in range(found.n_groups))[0]
        ['attn:0', 'attn:1', 'mlp:0']

    Args:
        histories: the ensemble's folder, or its histories.
        folder: output folder.
        ensemble: name of the ensemble in the mapping.
        model: the decomposed model, as in `model_path`, for the mapping.
        batches: for each run the folder of its batches, or the files in order. Without them there is no
            evidence, and the groups are those that most runs form.
        threads: how many may be used; the result does not depend on it.

    Raises:
        InputError: a file cannot be read or written, the runs do not fit together, or the batches are not
            those of the histories.
    """
    runs = load_merge_histories(histories)
    sources = None
    if batches is not None:
        if len(batches) != len(runs):
            raise InputError(
                "batches are needed for each run",
                file=common_folder(histories),
                field="batches",
                found=f"{len(batches)} for {len(runs)} runs",
                allowed="those of every run, in the order of the histories",
            )
        # several at a time: all of each file is read for its digest
        of_runs, at_once = zip(runs, batches, strict=True), threads or available_threads()
        sources = list(run_in_order(lambda run: merged_batches(*run), of_runs, at_once))
    with in_file(common_folder(histories)):
        found = find_groups(runs, sources, threads=threads, progress=steps.info)
    save_groups(found, folder, ensemble=ensemble, model=model, provenance=ensemble_record(histories))
    for line in found.warnings:
        log.warning("%s", line)
    log.info("%d groups hold, %d components belong to none", found.n_groups, found.n_alone)
    return found


def groups_of(
    folder: str | Path, *, model: str = "", again: bool = False, threads: int | None = None
) -> tuple[FoundGroups, bool]:
    """Return the groups of an ensemble's folder, and whether they were computed and written now.

    They are read from `groups.json` if that was computed from these histories; otherwise they are computed
    from the histories and, if they still exist, the batches.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> ensemble = write_example_ensemble(folder)
        >>> Path(ensemble.folder, "groups.nwk").unlink()
        >>> [groups_of(ensemble.folder)[1] for _ in range(2)]
        [True, False]

    Raises:
        InputError: as `groups`; or existing evidence would be lost, because its batches were deleted.
    """
    ensemble = EnsembleFolder(Path(folder))
    histories = find_histories(folder)
    record = ensemble.folder / GROUPS["record"]
    current = _is_of(record, histories)
    if current and not again and all((ensemble.folder / name).is_file() for name in GROUPS.values()):
        return load_groups(record), False
    batches = kept_batches(ensemble, histories)
    if batches is None and current and load_groups(record).bits:
        if again:
            raise InputError(
                "the batches were deleted, so the evidence cannot be recomputed",
                file=record,
                allowed="the existing groups, or new batches",
            )
        found = load_groups(record)
        save_groups(
            found, folder, ensemble=ensemble.name, model=model, provenance=read_json(record, "")["provenance"]
        )
        return found, True
    return groups(
        histories, folder, ensemble=ensemble.name, model=model, batches=batches, threads=threads
    ), True


def _is_of(record: Path, histories: Sequence[Path]) -> bool:
    """Return whether a `groups.json` exists and was computed from these histories."""
    if not record.is_file():
        return False
    content = read_json(record, "a groups.json")
    made_from = content.get("provenance") if isinstance(content, dict) else None
    return (
        isinstance(made_from, dict) and made_from.get("histories") == ensemble_record(histories)["histories"]
    )


def examples(
    ensemble: str | Path,
    *,
    run: int | None = None,
    iteration: int | None = None,
    group: int | None = None,
    limit: int = 10,
) -> str:
    """Return a description of groups of a language model by the tokens that activate them.

    Without `run`, these are the groups that hold, numbered and ordered as in `groups.csv`; with it, the
    groups of one run at one iteration, those best distinguished by tokens first. With `group`, the components
    of that group and the positions in the texts at which it is most active. A group that holds is active if
    at least `active_members` of its members are; a group of a run, if any member is.

    Example:
        >>> from dataclasses import replace
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.files.stored_batch import TokenExamples, samples_of
        >>> place = write_example_ensemble(folder)
        >>> path = place.batches(0) / "batch_0.pt"
        >>> batch = ActivationBatch.load(path)
        >>> tokens = (batch.matrix[:, [0]].toarray() > 0).astype(int)  # what attn:0 is active on is a cat
        >>> kept = TokenExamples(tokens, samples_of(len(tokens), 1, None), {0: " dog", 1: " cat"})
        >>> replace(batch, examples=kept).save(path)
        >>> print(examples(place.folder, run=0, limit=1))
        /.../example/example, run 0: 4 groups, best distinguished by tokens first
        group 0: attn ×2, mlp; active on 19.00%; ' cat' 36/36, ' dog' 2/164

    Raises:
        InputError: a file is missing, the batch has no tokens (`keep_examples`), or there is no such group.
    """
    folder = Path(ensemble)
    layout = EnsembleFolder(folder)
    if iteration is not None and run is None:
        raise InputError(
            "has no effect without a run",
            field="iteration",
            found=iteration,
            allowed="with the run of which it is (--run)",
        )
    history = load_merge_history(find_histories(folder)[0] if run is None else find_history(folder, run))
    tokens = _Tokens(find_batches(layout.batches(run or 0))[0])
    threshold = history.config.activation_threshold
    if run is None:
        found = groups_of(folder)[0]
        threshold = found.settings.get("activation_threshold", threshold)
        needed = found.columns["active_members"]
        groups = [
            _Group(number, found.members(number), 1 if np.isnan(needed[number]) else int(needed[number]))
            for number in range(found.n_groups)
        ]
        head, order = f"{folder}: {len(groups)} groups that hold", "most evidence first"
    else:
        at = history.at(history.best_iteration() if iteration is None else iteration)
        groups = [_Group(number, at.members(number), 1) for number in range(at.k_groups)]
        head, order = f"{folder}, run {run}: {len(groups)} groups", "best distinguished by tokens first"
    check_threshold(tokens.batch.threshold, threshold, file=tokens.path)
    if group is not None:
        if not 0 <= group < len(groups):
            raise InputError("no such group", field="group", found=group, allowed=f"0 to {len(groups) - 1}")
        return "\n".join([head, *tokens.places(groups[group], threshold, limit)])
    described = [tokens.describe(each, threshold) for each in groups if len(each.members) > 1]
    if run is not None:
        described.sort(key=lambda each: -each[0])
    return "\n".join([f"{head}, {order}", *(line for _, line in described[:limit])])


class _Group(NamedTuple):
    number: int
    members: Labels
    active_members: int


class _Tokens:
    """The samples of a batch whose tokens were stored."""

    def __init__(self, path: Path) -> None:
        self.path, self.batch = path, ActivationBatch.load(path)
        if self.batch.examples is None:
            raise InputError(
                "batch has no tokens",
                file=path,
                allowed="a run with keep_examples: n, or tokens.npy next to user-supplied activations",
            )
        self._examples = self.batch.examples
        self._matrix = self.batch.matrix[: self._examples.n_samples]
        self._column = {label: number for number, label in enumerate(self.batch.labels)}

    def describe(self, group: _Group, threshold: float | None) -> tuple[float, str]:
        """Return how many bits the tokens of a group carry about its activity, and its line."""
        active, ranked = self._activity(group, threshold)
        bits = float(active.mean()) * sum(each.bits for each in ranked)
        parts = [describe_members(group.members), f"active on {active.mean():.2%}", token_table(ranked, 6)]
        return bits, f"group {group.number}: {'; '.join(parts)}"

    def places(self, group: _Group, threshold: float | None, limit: int) -> list[str]:
        """Return the lines about one group: its members, its tokens, and where it is most active."""
        active, ranked = self._activity(group, threshold)
        strongest = strongest_samples(self._matrix, self._columns(group), limit)
        return [
            f"group {group.number}: {', '.join(group.members)}",
            f"active on {active.mean():.2%} of {len(active)} tokens",
            f"tokens: {token_table(ranked)}",
            *(marked(*self._examples.context(int(sample))) for sample in strongest),
        ]

    def _activity(self, group: _Group, threshold: float | None) -> tuple[np.ndarray, list[TokenCount]]:
        columns, members = self._columns(group), group.active_members
        active = group_activity(self._matrix, columns, threshold, active_members=members)
        sequences, positions = self._examples.samples.T
        tokens = self._examples.tokens[sequences, positions]
        return active, rank_tokens(tokens, active, self._examples.vocabulary)

    def _columns(self, group: _Group) -> np.ndarray:
        return np.array([self._column[label] for label in group.members])
