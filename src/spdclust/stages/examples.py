"""Stage: a merge and the batch it was made from -> the tokens that activate its groups."""

from pathlib import Path

import numpy as np

from spdclust.errors import InputError
from spdclust.files.batches import ActivationBatch, find_batches
from spdclust.files.histories import load_merge_history
from spdclust.group_tokens import (
    describe_members,
    group_activity,
    marked,
    rank_tokens,
    strongest_samples,
    token_table,
)


def examples(
    ensemble: str | Path,
    *,
    run: int = 0,
    iteration: int | None = None,
    group: int | None = None,
    limit: int = 10,
) -> str:
    """Return a description of the groups of one run by the tokens that activate them.

    Without `group`, those groups of two and more components that tokens tell apart best; with it, that
    group's components and the places in the texts where it is strongest.

    Args:
        ensemble: folder of an ensemble, beside its `precomputed_batches/`.
        run: which of its runs.
        iteration: after which merge; None for the shortest description.
        group: one group's number at that iteration.
        limit: how many groups or places.

    Raises:
        InputError: a file is missing, the batch has no tokens (`keep_examples`), or there is no such group.
    """
    folder = Path(ensemble)
    history = load_merge_history(folder / "runs" / f"run_{run}" / "history.zip")
    path = find_batches(folder.parent / "precomputed_batches" / f"run_{run}")[0]
    batch = ActivationBatch.load(path)
    kept = batch.examples
    if kept is None:
        raise InputError(
            "batch has no tokens",
            file=path,
            field="keep_examples",
            found=0,
            allowed="a run made with keep_examples: n",
        )
    at = history.best_iteration() if iteration is None else iteration
    column = {label: number for number, label in enumerate(batch.labels)}
    columns = np.array([column[label] for label in history.labels])
    assigned = np.asarray(history.group_idxs(at))
    matrix = batch.matrix[: kept.n_samples]
    tokens = kept.tokens[kept.samples[:, 0], kept.samples[:, 1]]
    texts = dict(kept.vocabulary)
    threshold = history.config.activation_threshold

    def members(number: int) -> np.ndarray:
        own: np.ndarray = columns[assigned == number]
        return own

    head = (
        f"{folder}, run {run}, {len(np.unique(assigned))} groups after {at % history.n_iterations + 1} merges"
    )
    if group is not None:
        if not (assigned == group).any():
            raise InputError("no such group", field="group", found=group, allowed=f"0 to {assigned.max()}")
        own = members(group)
        active = group_activity(matrix, own, threshold)
        places = [marked(*kept.context(int(sample))) for sample in strongest_samples(matrix, own, limit)]
        return "\n".join(
            [
                head,
                f"group {group}: {', '.join(batch.labels[each] for each in own)}",
                f"active on {active.mean():.2%} of {kept.n_samples} tokens",
                f"tokens: {token_table(rank_tokens(tokens, active, texts))}",
                *places,
            ]
        )
    found = []
    sizes = np.bincount(assigned)
    for number in np.flatnonzero(sizes > 1):
        own = members(int(number))
        active = group_activity(matrix, own, threshold)
        ranked = rank_tokens(tokens, active, texts)
        found.append((active.mean() * sum(each.bits for each in ranked), int(number), own, active, ranked))
    found.sort(key=lambda each: (-each[0], each[1]))
    lines = [
        f"group {number}: {describe_members([batch.labels[each] for each in own])}; "
        f"active on {active.mean():.2%}; {token_table(ranked, 6)}"
        for _, number, own, active, ranked in found[:limit]
    ]
    return "\n".join([f"{head}; the {len(lines)} that tokens tell apart best", *lines])
