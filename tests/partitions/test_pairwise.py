"""Each distance between two groupings, against pair-by-pair counting, all relabellings and scikit-learn."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, mutual_info_score
from sklearn.metrics.cluster import pair_confusion_matrix

from spdclust.core.errors import InputError
from spdclust.core.names import METHODS, check_method, check_methods
from spdclust.partitions.distances import distance
from spdclust.partitions.overlap import contingency, xlogx_table

groupings = st.integers(1, 9).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, n - 1), min_size=n, max_size=n).map(np.array)] * 2)
)


def best_relabelling(first: np.ndarray, second: np.ndarray) -> int:
    """Try every one-to-one relabelling."""
    k = int(max(first.max(), second.max())) + 1
    return min(int((np.array(names)[first] != second).sum()) for names in permutations(range(k)))


def disagreeing_pairs(first: np.ndarray, second: np.ndarray) -> int:
    pairs = combinations(range(len(first)), 2)
    return sum((first[p] == first[q]) != (second[p] == second[q]) for p, q in pairs)


def entropy_bits(groups: np.ndarray) -> float:
    shares = np.unique(groups, return_counts=True)[1] / len(groups)
    return float(-(shares * np.log2(shares)).sum())


@settings(deadline=None)
@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(*[st.lists(st.integers(0, 5), min_size=n, max_size=n).map(np.array)] * 2)
    )
)
def test_hamming_is_the_least_over_all_relabellings(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert distance(*pair, "perm_invariant_hamming") == best_relabelling(*pair)


@settings(deadline=None)
@given(groupings)
def test_matching_counts_the_pairs_that_disagree(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert distance(*pair, "matching_dist") == disagreeing_pairs(*pair)
    assert distance(*pair, "matching_dist_vec") == 2 * disagreeing_pairs(*pair)


@settings(deadline=None)
@given(groupings)
def test_chance_adjusted_companions_agree_with_scikit_learn(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = pair
    assert distance(first, second, "adjusted_rand_dist") == pytest.approx(
        1 - adjusted_rand_score(first, second), abs=1e-12
    )
    shared = mutual_info_score(first, second) / np.log(2)
    assert distance(first, second, "variation_of_information") == pytest.approx(
        entropy_bits(first) + entropy_bits(second) - 2 * shared, abs=1e-9
    )
    (_, second_only), (first_only, both) = pair_confusion_matrix(first, second)
    either = first_only + second_only + both
    expected = (first_only + second_only) / either if either else 0.0
    assert distance(first, second, "jaccard_dist") == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(groupings, st.sampled_from(sorted(METHODS)))
def test_distances_are_symmetric_and_zero_exactly_for_equal_groupings(
    pair: tuple[np.ndarray, np.ndarray], method: str
) -> None:
    first, second = pair
    assert distance(first, second, method) == distance(second, first, method)
    renamed = 7 - first
    assert distance(first, renamed, method) == 0
    equal = len({*zip(first, second, strict=True)}) == len({*first}) == len({*second})
    assert (distance(first, second, method) == 0) == equal


SINGLETONS, ONE_GROUP = np.arange(4), np.zeros(4, dtype=int)


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("perm_invariant_hamming", 3),
        ("matching_dist", 6),
        ("matching_dist_vec", 12),
        ("adjusted_rand_dist", 1),
        ("variation_of_information", 2),
        ("jaccard_dist", 1),
    ],
)
def test_limit_cases_are_defined(method: str, value: float) -> None:
    assert distance(SINGLETONS, ONE_GROUP, method) == value
    assert distance(SINGLETONS, SINGLETONS, method) == 0
    assert distance(ONE_GROUP, ONE_GROUP, method) == 0
    assert distance(np.zeros(0, dtype=int), np.zeros(0, dtype=int), method) == 0


def test_counts_above_the_32_bit_range_stay_exact() -> None:
    n = 200_000
    halves = np.arange(n) // (n // 2)
    assert distance(np.zeros(n, dtype=int), halves, "matching_dist") == (n // 2) ** 2


@pytest.mark.parametrize("n", [0, 1, 2, 3, 13_000, 1_000_000])
def test_information_units_are_fine_and_cannot_overflow(n: int) -> None:
    table, unit = xlogx_table(n)
    x = np.arange(n + 1)
    np.testing.assert_allclose(table * unit, x * np.log2(np.maximum(x, 1)), rtol=1e-14, atol=unit)
    assert 2 * int(table[-1]) < 2**63
    assert unit <= 2.0**-36


def test_contingency_lists_only_overlaps() -> None:
    table = contingency(np.array([5, 5, 9]), np.array([1, 1, 1]))
    assert table.to_sparse().toarray().tolist() == [[2], [1]]
    assert table.row_sizes.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("adjusted_rand_index", "adjusted_rand_dist"),
        ("matching_distance", "matching_dist"),
        ("jaccard", "jaccard_dist"),
        ("VI", "variation_of_information"),
        ("perm_invariant_haming", "perm_invariant_hamming"),
    ],
)
def test_an_unknown_method_is_refused_with_the_nearest_name(name: str, suggested: str) -> None:
    with pytest.raises(InputError) as caught:
        check_method(name)
    assert str(caught.value) == (
        f"distances_methods: unknown method, did you mean {suggested}? "
        f"(found: {name}; allowed: {', '.join(METHODS)})"
    )


def test_other_bad_input_is_one_line() -> None:
    with pytest.raises(
        InputError, match=r"^distances_methods: unknown method \(found: qqq; allowed: perm_inv"
    ):
        check_method("qqq")
    with pytest.raises(InputError, match=r"^distances_methods: no method given \(allowed: perm_invariant_"):
        check_methods([])
    with pytest.raises(InputError) as caught:
        distance(np.zeros(3, dtype=int), np.zeros(2, dtype=int), "matching_dist")
    assert str(caught.value) == (
        "second: groupings have different components (found: 2 components; allowed: 3 components)"
    )
