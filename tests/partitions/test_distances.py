"""Distances along trajectories equal the reference and a computation from scratch, whatever the workers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from new_interpreter import imported_by

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.core.names import METHODS
from spdclust.merge.history import MergeHistory
from spdclust.partitions.distances import FORMULAS, compute_all_distances, compute_distances
from spdclust.partitions.ensemble import NormalizedHistories, normalize_ensemble
from spdclust.partitions.overlap import contingency, overlap_sums

DATA = Path(__file__).parents[1] / "data" / "ensemble"
ORACLE = Path(__file__).parents[3] / "shared" / "oracle"


def history(labels: list[str], pairs: np.ndarray) -> MergeHistory:
    zeros = np.zeros(len(pairs))
    return MergeHistory(labels, pairs.astype(np.int64), zeros, zeros, MergeConfig())


def random_run(rng: np.random.Generator, n: int, n_merges: int, greed: float = 0.0) -> MergeHistory:
    """Merge random groups; with greed, mostly the first one grows."""
    pairs = np.empty((n_merges, 2), dtype=np.int64)
    for t in range(n_merges):
        i, j = rng.choice(n - t, 2, replace=False)
        pairs[t] = (0, max(i, j)) if rng.random() < greed else (i, j)
    return history([f"m:{i:04}" for i in rng.permutation(n)], pairs)


def from_scratch(normalized: NormalizedHistories, iterations: range) -> dict[str, np.ndarray]:
    shape = (len(iterations), normalized.n_runs, normalized.n_runs)
    values = {method: np.zeros(shape) for method in METHODS}
    for row, iteration in enumerate(iterations):
        rows = normalized.merge_array_rows(iteration)
        for i in range(normalized.n_runs):
            for j in range(i):
                sums = overlap_sums(contingency(rows[i], rows[j]))
                for method, formula in FORMULAS.items():
                    values[method][row, i, j] = values[method][row, j, i] = formula(sums)[0]
    return values


def either_triangle(distances: np.ndarray) -> np.ndarray:
    """The reference fills one triangle and leaves NaN elsewhere, the diagonal too."""
    full = np.where(np.isnan(distances), distances.swapaxes(1, 2), distances).astype(np.float64)
    runs = np.arange(full.shape[1])
    full[:, runs, runs] = 0
    return full


@pytest.mark.parametrize("method", ["perm_invariant_hamming", "matching_dist", "matching_dist_vec"])
@pytest.mark.parametrize(("kind", "n_real"), [("fixed_iters", 115), ("iters_none", 117)])
def test_distances_equal_the_reference_wherever_its_rows_are_real(
    kind: str, n_real: int, method: str
) -> None:
    with np.load(DATA / f"{kind}.npz") as arrays:
        runs = [history(arrays[f"labels_{r}"].tolist(), arrays[f"pairs_{r}"]) for r in range(6)]
        expected = either_triangle(arrays[method][:n_real])
    distances = compute_distances(normalize_ensemble(runs), method)
    assert distances.dtype == np.float64
    assert np.array_equal(distances, expected)


@pytest.mark.skipif(not ORACLE.is_dir(), reason="the oracle folder is not beside the repository")
@pytest.mark.parametrize("kind", ["fixed_iters", "iters_none"])
def test_the_golden_copies_are_those_of_the_oracle(kind: str) -> None:
    folder = ORACLE / f"ensemble_resid_mlp1-shared_{kind}"
    with np.load(DATA / f"{kind}.npz") as copy:
        for method in ("perm_invariant_hamming", "matching_dist", "matching_dist_vec"):
            with np.load(folder / f"distances_{method}.npz") as original:
                np.testing.assert_array_equal(copy[method], original["distances"])
        with np.load(folder / "ensemble_merge_array.npz") as original:
            np.testing.assert_array_equal(copy["merge_array"], original["merge_array"])


@pytest.mark.parametrize("greed", [0.0, 0.6])
def test_walking_equals_computing_every_iteration_from_scratch(greed: float) -> None:
    rng = np.random.default_rng(5)
    normalized = normalize_ensemble([random_run(rng, 60, 57, greed) for _ in range(3)])
    for method, expected in from_scratch(normalized, range(57)).items():
        np.testing.assert_array_equal(compute_distances(normalized, method), expected, err_msg=method)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(2, 20), min_size=2, max_size=3),
    stride=st.integers(1, 5),
    greed=st.sampled_from([0.0, 0.5, 0.95]),
    align=st.sampled_from(["iteration", "n_groups"]),
)
def test_walking_is_exact_for_any_lengths_strides_and_alignments(
    seed: int, sizes: list[int], stride: int, greed: float, align: str
) -> None:
    rng = np.random.default_rng(seed)
    runs = [random_run(rng, n, n - 1, greed) for n in sizes]
    normalized = normalize_ensemble(runs, align=align)
    kept = range(0, normalized.n_iterations, stride)
    expected = from_scratch(normalized, kept)
    for method, distances in compute_all_distances(normalized, METHODS, stride=stride).items():
        np.testing.assert_array_equal(distances, expected[method], err_msg=method)


def test_balanced_merges_of_many_components_are_exact_where_the_graph_hangs_together() -> None:
    """Groups of equal size that ignore each other: one giant connected component, the hard case."""
    rng = np.random.default_rng(2)
    n = 512
    runs = []
    for _ in range(2):
        pairs = [[g, g + 1] for level in (256, 128, 64, 32, 16, 8, 4, 2, 1) for g in range(level)]
        runs.append(history([f"m:{i:04}" for i in rng.permutation(n)], np.array(pairs)))
    normalized = normalize_ensemble(runs)
    kept = range(0, n - 1, 12)
    np.testing.assert_array_equal(
        compute_distances(normalized, "perm_invariant_hamming", stride=12),
        from_scratch(normalized, kept)["perm_invariant_hamming"],
    )


@pytest.mark.slow
@pytest.mark.parametrize("greed", [0.0, 0.3, 0.9])
def test_walking_is_exact_at_two_thousand_components(greed: float) -> None:
    rng = np.random.default_rng(11)
    normalized = normalize_ensemble([random_run(rng, 2000, 1997, greed) for _ in range(2)])
    expected = from_scratch(normalized, range(0, 1997, 60))
    for method, distances in compute_all_distances(normalized, METHODS, stride=60).items():
        np.testing.assert_array_equal(distances, expected[method], err_msg=method)


def test_the_number_of_workers_changes_nothing() -> None:
    rng = np.random.default_rng(7)
    normalized = normalize_ensemble([random_run(rng, 40, 37, 0.3) for _ in range(5)])
    seen: list[tuple[int, int]] = []
    alone = compute_all_distances(normalized, METHODS)
    together = compute_all_distances(
        normalized, METHODS, n_workers=3, progress=lambda done, total: seen.append((done, total))
    )
    for method, distances in alone.items():
        assert np.array_equal(distances, together[method])
        assert np.array_equal(distances, compute_distances(normalized, method, n_workers=2))
        assert np.array_equal(distances, distances.swapaxes(1, 2))
        assert not distances[:, range(5), range(5)].any()
    assert seen == [(done, 10) for done in range(1, 11)]


def test_a_stride_keeps_every_nth_iteration_from_the_first() -> None:
    rng = np.random.default_rng(8)
    normalized = normalize_ensemble([random_run(rng, 30, 27) for _ in range(3)])
    for method in METHODS:
        every = compute_distances(normalized, method)
        assert np.array_equal(compute_distances(normalized, method, stride=10), every[::10])
        assert np.array_equal(compute_distances(normalized, method, stride=1000), every[:1])


def test_bad_input_is_one_line() -> None:
    rng = np.random.default_rng(9)
    single = normalize_ensemble([random_run(rng, 6, 3)])
    double = normalize_ensemble([random_run(rng, 6, 3), random_run(rng, 6, 3)])
    for call, line in [
        (
            lambda: compute_distances(single, "matching_dist"),
            "n_runs: distances need several runs (found: 1; allowed: 2 or more)",
        ),
        (
            lambda: compute_all_distances(double, []),
            f"distances_methods: no method given (allowed: {', '.join(METHODS)})",
        ),
        (
            lambda: compute_distances(double, "matching_dist", stride=0),
            "stride: out of range (found: 0; allowed: 1 or more)",
        ),
        (
            lambda: compute_distances(double, "matching_dist", n_workers=0),
            "n_workers: out of range (found: 0; allowed: 1 or more)",
        ),
    ]:
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == line


def test_the_list_of_methods_needs_no_heavy_import() -> None:
    assert not {"numpy", "scipy", "numba", "torch"} & imported_by("import spdclust.core.names")
