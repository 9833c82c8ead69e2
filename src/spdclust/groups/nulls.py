"""Samples without coactivation, and how many groups are found in them."""

from collections.abc import Callable

import numpy as np

from spdclust.core.threads import run_parts
from spdclust.core.types import Int, make_generator
from spdclust.groups.evidence import select_nodes
from spdclust.groups.kernels import samples as kernels
from spdclust.groups.samples import Entries, Folds

NULL_ENTRIES = 20_000_000
"""A null run uses the first samples of every fold, up to this total number of activations."""

TRADES = 6
"""Rounds of curveball trades in a null run: then 1 in 64 active components is unmoved, mostly by chance."""


def first_samples(folds: Folds) -> Folds:
    """Return the first samples of every fold, up to `NULL_ENTRIES` activations in all, stored in memory.

    Example:
        >>> from spdclust.groups.samples import fold_samples
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense(np.ones((8, 3)), ["m:0", "m:1", "m:2"])
        >>> folds = fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1)
        >>> first_samples(folds).n_samples.tolist()  # so few that all are kept
        [8, 8]

    Args:
        folds: the samples; every piece of a fold keeps at least one.
    """
    stored: list[list[Entries]] = []
    for fold in range(folds.n_folds):
        room = NULL_ENTRIES // folds.n_folds
        stored.append([])
        for piece in folds.first_pieces(fold, max(1, room)):
            n_kept = max(1, int(np.searchsorted(piece.start, room, side="right")) - 1)
            part = piece.between(0, min(n_kept, piece.n_rows))
            room -= len(part.columns)
            stored[fold].append(part)
    return Folds(folds.labels, folds.n_folds, lambda fold, most: iter(stored[fold]))


def null_folds(folds: Folds, seed: int, *, keep_busy: bool = False, threads: int = 1) -> Folds:
    """Return the samples with every coactivation destroyed; every component keeps its activations.

    The samples on which each component is active are redrawn, so that all components are independent. With
    `keep_busy` every sample also keeps its number of active components, as far as a random arrangement can:
    components are traded between random pairs of samples (curveball, Strona et al. 2014). Groups found then
    exist because some samples have more active components than others.

    All samples are held in memory; of many, `first_samples` are enough. The result does not depend on
    `threads`.

    Example:
        >>> from spdclust.groups.samples import fold_samples
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense(np.eye(4).repeat(2, 1), [f"m:{i}" for i in range(8)])
        >>> folds = fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1)
        >>> nulls = [null_folds(folds, seed=0, keep_busy=busy) for busy in (False, True)]
        >>> [bool((null.counts == folds.counts).all()) for null in nulls]
        [True, True]
    """
    pieces = [
        (fold, number, piece)
        for fold in range(folds.n_folds)
        for number, piece in enumerate(folds.pieces(fold))
    ]

    def draw(position: int, _: int) -> Entries:
        fold, number, piece = pieces[position]
        rng = make_generator((seed, fold, number))
        if not keep_busy:
            by_component = piece.transposed()
            kernels.scatter(by_component.start, by_component.columns, piece.n_rows, rng)
            return by_component.transposed()
        piece, n_columns = piece.between(0, piece.n_rows), piece.n_columns  # a copy, to be rearranged
        values = np.empty(0, np.float32) if piece.values is None else piece.values
        # a sample that has nothing to trade would leave its partner as it is
        with_any = np.flatnonzero(np.diff(piece.start))
        for _ in range(TRADES):
            kernels.trade(rng.permutation(with_any), piece.start, piece.columns, values, n_columns, rng)
        kernels.sort_rows(piece.start, piece.columns, values, n_columns)
        return piece

    drawn = run_parts(draw, [(position, position + 1) for position in range(len(pieces))], threads)
    of_fold = [
        [piece for (owner, _, _), piece in zip(pieces, drawn, strict=True) if owner == fold]
        for fold in range(folds.n_folds)
    ]
    return Folds(folds.labels, folds.n_folds, lambda fold, most: iter(of_fold[fold]))


def null_groups(
    samples: Folds | None,
    n_null: int,
    seed: int,
    threads: int,
    progress: Callable[[str], None],
    arrays: list[np.ndarray],
) -> tuple[Int[np.ndarray, " nulls"], Int[np.ndarray, " nulls"]]:
    """Return how many groups each null run finds: with independent components, and with busy samples kept.

    There are `n_null` runs of each kind, the first of which has this seed. All write their pair sums to
    `arrays`, because they are large. The result does not depend on `threads`.

    Example:
        >>> from spdclust.groups.samples import fold_samples
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense(np.eye(4).repeat(2, 1), [f"m:{i}" for i in range(8)])
        >>> folds = fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1)
        >>> independent, busy = null_groups(folds, 2, 0, threads=1, progress=lambda step: None, arrays=[])
        >>> independent.tolist(), busy.tolist()
        ([0, 0], [0, 0])
    """
    found = np.zeros((2, n_null), dtype=np.int64)
    if samples is None:
        return found[0], found[1]
    for repetition in range(n_null):
        progress(f"null run {repetition + 1} of {n_null}")
        for kind, keep_busy in enumerate((False, True)):
            null = null_folds(samples, seed + repetition, keep_busy=keep_busy, threads=threads)
            found[kind, repetition] = len(select_nodes(null, threads, arrays=arrays).chosen)
    return found[0], found[1]
