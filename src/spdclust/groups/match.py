"""Match the groups of two ensembles by their shared members or by their weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from spdclust.core.errors import InputError
from spdclust.core.types import Float, Labels

Weights = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""`V`, `(inputs, components)`, and `U`, `(components, outputs)`, by module."""


@dataclass(frozen=True)
class GroupMatch:
    """A group of one ensemble and its counterpart in another.

    Attributes:
        first: the group in the first ensemble; None if a group of the second has no counterpart.
        second: the group in the second ensemble; None if a group of the first has no counterpart.
        similarity: similarity of the two groups; NaN without a counterpart.
    """

    first: int | None
    second: int | None
    similarity: float


def match_groups(similarity: Float[np.ndarray, "first second"]) -> list[GroupMatch]:
    """Return the pairing of groups with the greatest sum of similarities, each group at most once.

    Example:
        >>> for match in match_groups(np.array([[0.2, 0.9], [0.0, 0.5], [0.0, 0.0]])):
        ...     print(match.first, match.second, match.similarity)
        0 1 0.9
        1 None nan
        2 None nan
        None 0 nan

    Args:
        similarity: similarity of each group of the first with each of the second; pairs at 0 or below, or
            NaN, are not matched.

    Returns:
        The groups of the first ensemble in order, then those of the second without a counterpart.
    """
    comparable = np.where(similarity > 0, similarity, 0.0)
    rows, columns = linear_sum_assignment(comparable, maximize=True)
    partner = {
        int(row): int(column)
        for row, column in zip(rows, columns, strict=True)
        if comparable[row, column] > 0
    }
    matches = [
        GroupMatch(
            row, partner.get(row), float(comparable[row, partner[row]]) if row in partner else float("nan")
        )
        for row in range(similarity.shape[0])
    ]
    left = sorted(set(range(similarity.shape[1])) - set(partner.values()))
    return matches + [GroupMatch(None, column, float("nan")) for column in left]


def group_overlaps(first: Sequence[Labels], second: Sequence[Labels]) -> Float[np.ndarray, "first second"]:
    """Return the Jaccard similarity of the members of each pair of groups.

    Example:
        >>> group_overlaps([["a:0", "a:1"]], [["a:1", "a:0"], ["a:1", "b:0"]]).tolist()
        [[1.0, 0.3333333333333333]]

    Args:
        first: the groups of one ensemble.
        second: the groups of the other.
    """
    sets = [set(members) for members in second]
    overlaps = [[len(one & other) / len(one | other) for other in sets] for one in map(set, first)]
    return np.array(overlaps, dtype=np.float64).reshape(len(first), len(second))


def group_cosines(
    first: Sequence[Labels], second: Sequence[Labels], weights: Weights, other_weights: Weights
) -> Float[np.ndarray, "first second"]:
    """Return the cosine similarity of the weights of each pair of groups.

    The weights of a group are, for each module, the sum over its members of the outer product of a
    component's `V` and `U`: the group's part of the weight matrix. These matrices are not built: the inner
    product of two of them is the sum over pairs of components of (V·V')(U·U').

    Example:
        >>> weights = {"m": (np.eye(2), np.array([[3.0, 0.0], [0.0, 4.0]]))}
        >>> group_cosines([["m:0"]], [["m:1"], ["m:0", "m:1"]], weights, weights).tolist()
        [[0.0, 0.6]]

    Args:
        first: the groups of one ensemble.
        second: the groups of the other.
        weights: weights of the first ensemble's model.
        other_weights: weights of the second ensemble's model, with modules of the same sizes.

    Returns:
        The similarities; NaN where a group's weights are 0.

    Raises:
        InputError: a member has no weights, or a module has different sizes in the two models.
    """
    for module in set(weights) & set(other_weights):
        (v, u), (other_v, other_u) = weights[module], other_weights[module]
        if v.shape[0] != other_v.shape[0] or u.shape[1] != other_u.shape[1]:
            raise InputError(
                "module has different sizes in the two models", field=module,
                found=f"{v.shape[0]} to {u.shape[1]} and {other_v.shape[0]} to {other_u.shape[1]}",
                allowed="models of the same architecture",
            )  # fmt: skip
    one, other = _by_module(first, weights), _by_module(second, other_weights)
    products = _products(one, other, weights, other_weights, (len(first), len(second)))
    norms = [
        np.sqrt(np.maximum(np.diag(_products(of, of, own, own, (n, n))), 0.0))
        for of, own, n in ((one, weights, len(first)), (other, other_weights, len(second)))
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines: np.ndarray = products / np.outer(*norms)
    return np.where(np.isfinite(cosines), np.clip(cosines, -1.0, 1.0), np.nan)


_Members = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By module: the components in any group, and a `(groups, components)` membership mask."""


def _by_module(groups: Sequence[Labels], weights: Weights) -> _Members:
    listed: dict[str, list[tuple[int, int]]] = {}
    for group, members in enumerate(groups):
        for label in members:
            module, _, index = label.rpartition(":")
            if module not in weights or not index.isdecimal() or int(index) >= weights[module][0].shape[1]:
                raise InputError("component has no weights in the model", field="labels", found=label)
            listed.setdefault(module, []).append((int(index), group))
    found = {}
    for module, pairs in sorted(listed.items()):
        components, places = np.unique([component for component, _ in pairs], return_inverse=True)
        mask = np.zeros((len(groups), len(components)))
        mask[[group for _, group in pairs], places] = 1.0
        found[module] = components, mask
    return found


def _products(
    one: _Members, other: _Members, weights: Weights, other_weights: Weights, shape: tuple[int, int]
) -> Float[np.ndarray, "first second"]:
    """Return the inner products of the weights of each pair of groups, summed over modules."""
    total = np.zeros(shape)
    for module in sorted(set(one) & set(other)):
        (chosen, mask), (other_chosen, other_mask) = one[module], other[module]
        (v, u), (other_v, other_u) = weights[module], other_weights[module]
        pairs = (v[:, chosen].T @ other_v[:, other_chosen]) * (u[chosen] @ other_u[other_chosen].T)
        total += mask @ pairs @ other_mask.T
    return total
