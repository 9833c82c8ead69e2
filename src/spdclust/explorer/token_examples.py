"""Tokens and places in the texts for groups of a language model, bounded in size."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.types import Int
from spdclust.explorer.group_tokens import group_activity, rank_tokens, strongest_samples

MAX_CHARACTERS = 1_200_000
"""Length of all descriptions together, before compression."""
MAX_DESCRIBED = 2000
"""Groups and components that are described."""
N_TOKENS, N_PLACES, BEFORE, AFTER, MAX_TEXT = 8, 4, 12, 5, 40


def describe_by_tokens(
    matrix: sparse.csr_array,
    tokens: Int[np.ndarray, " samples"],
    texts: Mapping[int, str],
    context: Callable[[int], tuple[list[str], int]],
    samples: Int[np.ndarray, "samples 2"],
    columns: Int[np.ndarray, " components"],
    groups: Sequence[Int[np.ndarray, "_"]],
    threshold: float | None,
    active_members: Sequence[int] = (),
) -> list[dict[str, Any]]:
    """Return, for each group as far as the size allows, the tokens that activate it and places in the texts.

    Example:
        >>> matrix = sparse.csr_array(np.array([[0.9, 0.9], [0.0, 0.0]]))
        >>> described = describe_by_tokens(
        ...     matrix, np.array([4, 5]), {4: "the", 5: " cat"}, lambda sample: (["the", " cat"], sample),
        ...     np.array([[0, 0], [0, 1]]), np.arange(2), [np.array([0, 1])], 0.1,
        ... )
        >>> described[0]["tokens"], described[0]["places"]
        ([['the', 1, 1, 1.0, 1.1666666666666667]], [{'texts': ['the', ' cat'], 'at': 0, 'active': [0]}])

    Args:
        matrix: `(samples, columns)` causal importances of the samples whose tokens are known.
        tokens: number of each sample's token.
        texts: how a token is written.
        context: the texts of a sample's sequence, and which of them the sample is.
        samples: sequence and position of each sample.
        columns: column of each component.
        groups: numbers of the components of each group, the most wanted first.
        threshold: active is above this; None takes anything above 0.
        active_members: members that have to be active at once, one entry for each of the first groups;
            1 for those after them.

    Returns:
        Per group: `members`; `active_members`; `share` of the samples on which it is active; `tokens`: text,
        samples of this token on which it is active, samples of this token, bits and lift (see
        `rank_tokens`);
        `places`: texts around the samples on which it is strongest, `at` which of them, and those on which it
        is `active`.
    """
    by_column = sparse.csc_array(matrix)
    sample_at = {(int(row), int(place)): number for number, (row, place) in enumerate(samples)}
    written = dict(texts)
    found: list[dict[str, Any]] = []
    room = MAX_CHARACTERS
    for group, least in zip(groups[:MAX_DESCRIBED], chain(active_members, repeat(1)), strict=False):
        own = sparse.csr_array(by_column[:, columns[group]])
        everything = np.arange(len(group))
        active = group_activity(own, everything, threshold, active_members=least)
        if not active.any():
            continue
        ranked = rank_tokens(tokens, active, written)[:N_TOKENS]
        places = []
        for sample in strongest_samples(own, everything, N_PLACES).tolist():
            around, at = context(sample)
            start, end = max(0, at - BEFORE), at + AFTER + 1
            row = int(samples[sample, 0])
            known = (
                (place - start, sample_at.get((row, place))) for place in range(start, min(end, len(around)))
            )
            places.append(
                {
                    "texts": [_short(text) for text in around[start:end]],
                    "at": at - start,
                    "active": [place for place, number in known if number is not None and active[number]],
                }
            )
        described = {
            "members": group.tolist(),
            "active_members": least,
            "share": int(active.sum()) / len(active),
            "tokens": [
                [_short(each.text), each.n_active, each.n_samples, each.bits, each.lift] for each in ranked
            ],
            "places": places,
        }
        room -= len(repr(described))
        if room < 0:
            break
        found.append(described)
    return found


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
