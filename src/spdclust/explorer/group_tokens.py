"""Which tokens activate a group of components, and where in their texts; bounded in size for the page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.types import Bool, Float, Int, Labels
from spdclust.files.stored_batch import TokenExamples
from spdclust.merge.activations import module_of

MAX_CHARACTERS = 1_200_000  # length of all descriptions together, before compression
MAX_DESCRIBED = 2000  # groups and components that are described
N_TOKENS, N_PLACES, BEFORE, AFTER, MAX_TEXT = 8, 4, 12, 5, 40
PRIOR_SAMPLES = 5  # by which the lift of a token is shrunk
_SHOWN = 12


@dataclass(frozen=True)
class TokenCount:
    """How often a group is active on one token.

    Attributes:
        text: the token as it is written.
        n_active: samples of this token on which the group is active.
        n_samples: samples of this token.
        bits: what this token adds to the relative entropy of tokens where the group is active, to all tokens.
        lift: how many times more often the group is active on this token than on all, shrunk towards 1 for
            rare tokens.
    """

    text: str
    n_active: int
    n_samples: int
    bits: float
    lift: float = 1.0


def group_activity(
    matrix: sparse.csr_array,
    members: Int[np.ndarray, " members"],
    threshold: float | None,
    *,
    active_members: int = 1,
) -> Bool[np.ndarray, " samples"]:
    """Return the samples on which a group is active: any member, or `active_members` of them at once.

    Example:
        >>> matrix = sparse.csr_array(np.array([[0.0, 0.5], [0.0, 0.05], [0.9, 0.2]]))
        >>> group_activity(matrix, np.array([0, 1]), 0.1).tolist()
        [True, False, True]
        >>> group_activity(matrix, np.array([0, 1]), 0.1, active_members=2).tolist()
        [False, False, True]
    """
    chosen = matrix[:, members]
    active: np.ndarray = np.asarray((chosen > (threshold or 0.0)).sum(axis=1)).ravel() >= active_members
    return active


def rank_tokens(
    tokens: Int[np.ndarray, " samples"], active: Bool[np.ndarray, " samples"], texts: Mapping[int, str]
) -> list[TokenCount]:
    """Return the tokens on which a group is active, the most surprising ones first.

    Tokens are ranked by lift: the share of the token's samples on which the group is active, relative to the
    group's share of all samples. The former is shrunk as if the token had occurred `PRIOR_SAMPLES` times more
    with the latter share, so that neither frequent tokens nor rare ones come first for that alone.

    `bits` is the token's term p·log2(p/q) of the relative entropy, with p its share of the samples where the
    group is active and q its share of all samples; the sum of all terms is the relative entropy itself, 0 for
    a group that is active whatever the token.

    Example:
        >>> tokens, active = np.array([5, 5, 6, 6]), np.array([True, True, True, False])
        >>> ranked = rank_tokens(tokens, active, {5: "a", 6: "b"})
        >>> [(each.text, each.n_active, each.n_samples) for each in ranked]
        [('a', 2, 2), ('b', 1, 2)]
    """
    numbers, index_of = np.unique(tokens, return_inverse=True)
    total = np.bincount(index_of, minlength=len(numbers))
    within = np.bincount(index_of[active], minlength=len(numbers))
    n_active = max(1, int(active.sum()))
    share = n_active / max(1, len(tokens))
    ranked = []
    for token in np.flatnonzero(within):
        p, q = within[token] / n_active, total[token] / len(tokens)
        ranked.append(
            TokenCount(
                texts[int(numbers[token])],
                int(within[token]),
                int(total[token]),
                float(p * np.log2(p / q)),
                float((within[token] / share + PRIOR_SAMPLES) / (total[token] + PRIOR_SAMPLES)),
            )
        )
    return sorted(ranked, key=lambda each: (-each.lift, -each.n_active, each.text))


def strongest_samples(
    matrix: sparse.csr_array, members: Int[np.ndarray, " members"], n: int
) -> Int[np.ndarray, " chosen"]:
    """Return the samples on which a group's causal importances sum to most, the most first.

    Example:
        >>> matrix = sparse.csr_array(np.array([[0.0, 0.5], [0.0, 0.0], [0.9, 0.2]]))
        >>> strongest_samples(matrix, np.array([0, 1]), 2).tolist()
        [2, 0]
    """
    sums: Float[np.ndarray, " samples"] = np.asarray(matrix[:, members].sum(axis=1), dtype=np.float64).ravel()
    order = np.argsort(-sums, kind="stable")[:n]
    chosen: np.ndarray = order[sums[order] > 0]
    return chosen


def describe_members(labels: Labels) -> str:
    """Return how many components of which modules a group holds.

    Example:
        >>> describe_members(["h.0.mlp:3", "h.0.mlp:5", "h.1.attn:0"])
        'h.0.mlp ×2, h.1.attn'
    """
    counts = Counter(module_of(label) for label in labels)
    return ", ".join(module if n == 1 else f"{module} ×{n}" for module, n in counts.items())


def marked(texts: Sequence[str], position: int, before: int = 16, after: int = 6) -> str:
    r"""Return the tokens around a position on one line, that one in brackets.

    Example:
        >>> marked(["the", " cat", "\n", "sat"], 1)
        'the[ cat]⏎sat'
    """
    start = max(0, position - before)
    shown = [f"[{text}]" if place == position else text for place, text in enumerate(_apart(texts))]
    return "".join(shown[start : position + after + 1]).replace("\n", "⏎")


def _apart(texts: Sequence[str]) -> list[str]:
    """Return texts of tokens that follow each other; numbers, which stand for unknown texts, with spaces."""
    are_numbers = all(text.isdecimal() for text in texts)
    return [f" {text}" for text in texts] if are_numbers else list(texts)


def token_table(ranked: Sequence[TokenCount], limit: int = _SHOWN) -> str:
    """Return the first tokens with how often the group is active on them.

    Example:
        >>> token_table([TokenCount(" a", 2, 3, 0.5)])
        "' a' 2/3"
    """
    return ", ".join(f"{each.text!r} {each.n_active}/{each.n_samples}" for each in ranked[:limit])


def describe_by_tokens(
    matrix: sparse.csr_array,
    examples: TokenExamples,
    columns: Int[np.ndarray, " components"],
    groups: Sequence[Int[np.ndarray, "_"]],
    threshold: float | None,
    active_members: Sequence[int] = (),
) -> list[dict[str, Any]]:
    """Return, for each group as far as the size allows, the tokens that activate it and places in the texts.

    Example:
        >>> matrix = sparse.csr_array(np.array([[0.9, 0.9], [0.0, 0.0]]))
        >>> examples = TokenExamples(np.array([[4, 5]]), np.array([[0, 0], [0, 1]]), {4: "the", 5: " cat"})
        >>> described = describe_by_tokens(matrix, examples, np.arange(2), [np.array([0, 1])], 0.1)
        >>> described[0]["tokens"], described[0]["places"]
        ([['the', 1, 1, 1.0, 1.1666666666666667]], [{'texts': ['the', ' cat'], 'at': 0, 'active': [0]}])

    Args:
        matrix: `(samples, columns)` causal importances of the samples whose tokens are known.
        examples: these tokens.
        columns: column of each component.
        groups: numbers of the components of each group, the most important first.
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
    samples = examples.samples
    tokens = examples.tokens[samples[:, 0], samples[:, 1]]
    sample_at = {(row, place): number for number, (row, place) in enumerate(samples.tolist())}
    found: list[dict[str, Any]] = []
    room = MAX_CHARACTERS
    for group, least in zip(groups[:MAX_DESCRIBED], chain(active_members, repeat(1)), strict=False):
        own = sparse.csr_array(by_column[:, columns[group]])
        everything = np.arange(len(group))
        active = group_activity(own, everything, threshold, active_members=least)
        if not active.any():
            continue
        ranked = rank_tokens(tokens, active, examples.vocabulary)[:N_TOKENS]
        places = []
        for sample in strongest_samples(own, everything, N_PLACES).tolist():
            around, at = examples.context(sample)
            start, end = max(0, at - BEFORE), at + AFTER + 1
            row = int(samples[sample, 0])
            known = (
                (place - start, sample_at.get((row, place))) for place in range(start, min(end, len(around)))
            )
            places.append(
                {
                    "texts": [_short(text) for text in _apart(around)[start:end]],
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
