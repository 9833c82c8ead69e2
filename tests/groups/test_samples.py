"""The samples as the group analysis reads them, against dense arrays, and the two kinds of null runs."""

import itertools
from dataclasses import replace

import groups_plain as plain
import numpy as np
import pytest
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.files.batches import ActivationBatch, BatchedActivations
from spdclust.groups import nulls, samples
from spdclust.groups.kernels import samples as kernels
from spdclust.groups.nulls import first_samples, null_folds
from spdclust.groups.samples import Entries, Folds, fold_samples
from spdclust.groups.similarity import pair_sums
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.costs import _group_activations
from spdclust.merge.sources import as_batch_source, next_batch


def to_dense(entries: Entries) -> np.ndarray:
    dense = np.zeros((entries.n_rows, entries.n_columns), dtype=np.float32)
    rows = np.repeat(np.arange(entries.n_rows), np.diff(entries.start))
    dense[rows, entries.columns] = 1 if entries.values is None else entries.values
    return dense


def in_order(entries: Entries) -> bool:
    """No column twice in a row, and ascending."""
    rows = [entries.columns[a:b].astype(int) for a, b in itertools.pairwise(entries.start)]
    return all((np.diff(row) > 0).all() for row in rows)


def dense_of(folds: Folds, fold: int) -> np.ndarray:
    return np.concatenate([to_dense(piece) for piece in folds.pieces(fold)])


class InChunks:
    """A batch that comes in chunks, of which nothing is known before they are read."""

    def __init__(self, acts: ProcessedActivations) -> None:
        self._rows = acts.matrix

    def chunks(self):
        for first in range(0, self._rows.shape[0], 7):
            yield self._rows[first : first + 7]


def check_against(folds: Folds, dense: list[np.ndarray]) -> None:
    for fold, values in enumerate(dense):
        np.testing.assert_array_equal(dense_of(folds, fold), values)
    assert folds.n_folds == len(dense)
    assert folds.n_samples.tolist() == [len(each) for each in dense]
    np.testing.assert_array_equal(folds.counts, [(each > 0).sum(0) for each in dense])
    np.testing.assert_allclose(folds.squares, [np.square(each, dtype=np.float64).sum(0) for each in dense])


@pytest.mark.parametrize("room", [240_000_000, 240, 0])
@pytest.mark.parametrize("seed", range(12))
def test_folds_are_the_active_values_of_every_run(seed, room, monkeypatch):
    monkeypatch.setattr(samples, "_KEEP_BYTES", room)  # nothing is kept, or the first batches only
    ensemble = plain.random_ensemble(seed)
    folds = ensemble.folds
    check_against(folds, ensemble.dense)
    check_against(folds, ensemble.dense)  # once more, now from memory


def test_counts_are_known_before_anything_was_read_to_the_end():
    ensemble = plain.random_ensemble(5, n_runs=3)
    folds = ensemble.folds
    next(folds.pieces(1))  # given up half way
    assert folds.n_samples.tolist() == [len(each) for each in ensemble.dense]
    np.testing.assert_array_equal(folds.counts, [(each > 0).sum(0) for each in ensemble.dense])


def test_every_piece_has_its_components_in_order_and_by_component_its_samples():
    for seed in range(10):
        folds = plain.random_ensemble(seed).folds
        for fold in range(folds.n_folds):
            for piece in folds.pieces(fold):
                assert in_order(piece)
                for threads in (1, 3):
                    by_component = piece.transposed(threads)
                    assert in_order(by_component)
                    np.testing.assert_array_equal(to_dense(by_component), to_dense(piece).T)


def test_by_component_in_blocks_is_every_block_by_component():
    for seed in range(6):
        for piece in plain.random_ensemble(seed).folds.pieces(0):
            for block, threads in itertools.product((1, 3, piece.n_rows, 2**16), (1, 3)):
                dense = to_dense(piece.transposed(threads, block))
                blocks = np.split(to_dense(piece), range(block, piece.n_rows, block))
                padded = [np.pad(each, ((0, block - len(each)), (0, 0))) for each in blocks]
                np.testing.assert_array_equal(dense, np.concatenate([each.T for each in padded]))


@pytest.mark.parametrize(
    "room", [480_000_000, 700, 600, 0]
)  # for both pieces, the first, the second, neither
def test_samples_of_components_are_read_once_if_there_is_room_for_them(room, monkeypatch):
    monkeypatch.setattr(samples, "_KEEP_SETS_BYTES", room)
    monkeypatch.setattr(samples, "BLOCK", 7)
    matrices = sparse.random_array((60, 9), density=0.3, format="csr", dtype=np.float32, rng=1)
    pieces = [samples._active_entries(matrices[a:b], np.arange(9), 9, 0.0) for a, b in ((0, 40), (40, 60))]
    read = []

    def yield_pieces(fold, most):
        read.append(fold)
        return iter(pieces)

    folds = Folds(plain.names(9), 1, yield_pieces)
    expected = [replace(piece, values=None).transposed(1, 7) for piece in pieces]
    for both in (False, True, False, True, False):
        if both:
            found = [by_component for _, by_component in folds.pieces_both_ways(0)]
            assert [each.values is None for each in found] == [False, False]
        else:
            found = list(folds.sets(0))
            assert [each.values for each in found] == [None, None]
        assert [to_dense(replace(each, values=None)).tolist() for each in found] == [
            to_dense(each).tolist() for each in expected
        ]
    assert read == [0] * (3 if room == 480_000_000 else 5)


@pytest.mark.parametrize("sizes", [[1] * 7, [3, 3], [4, 4, 4], [2, 3], [12, 1, 1], [100, 7, 1]])
def test_blocks_of_one_run_are_even_however_the_batches_are_cut(sizes):
    labels = ["m:0"]
    batches = [ProcessedActivations.from_dense(np.ones((n, 1)), labels) for n in sizes]
    n_samples = fold_samples([batches], labels, [labels], 0.1).n_samples
    assert n_samples.sum() == sum(sizes)
    assert n_samples.max() - n_samples.min() <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_value_just_on_the_threshold_is_what_it_is_in_the_merge(dtype):
    dense = np.array([[0.1], [np.nextafter(dtype(0.1), dtype(1))], [0.0], [0.5]], dtype=dtype)
    acts = ProcessedActivations.from_dense(dense, ["m:0"])
    folds = fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1)
    of_merge = _group_activations(dense, np.array([0]), 0.1).ravel() > 0
    assert of_merge.tolist() == [False, True, False, True]
    np.testing.assert_array_equal(dense_of(folds, 0).ravel() > 0, of_merge)


def test_batches_that_lack_components_of_the_merge_are_named():
    acts = ProcessedActivations.from_dense(np.eye(2), ["m:0", "m:1"])
    with pytest.raises(InputError, match="components of the merge are missing") as error:
        fold_samples([acts, acts], ["m:0", "m:1", "m:2"], [["m:0", "m:1"], ["m:1", "m:2"]], 0.1)
    assert (error.value.field, error.value.found) == ("batches[1].labels", "1 missing, such as m:2")


@pytest.mark.parametrize("keep_busy", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_null_runs_keep_every_components_activations_and_leave_the_samples_alone(seed, keep_busy):
    ensemble = plain.random_ensemble(seed, n_components=8)
    folds = ensemble.folds
    check_against(folds, ensemble.dense)
    null = null_folds(folds, seed=seed, keep_busy=keep_busy)
    moved = 0
    for fold, before in enumerate(ensemble.dense):
        pieces, of_null = list(folds.pieces(fold)), list(null.pieces(fold))
        for piece, other in zip(pieces, of_null, strict=True):
            assert in_order(other)
            a, b = to_dense(piece), to_dense(other)
            np.testing.assert_array_equal(np.sort(a, axis=0), np.sort(b, axis=0))
            if keep_busy:
                np.testing.assert_array_equal((a > 0).sum(1), (b > 0).sum(1))
            moved += (a != b).any()
        np.testing.assert_array_equal(dense_of(null, fold), dense_of(null, fold))  # the same when read again
        np.testing.assert_array_equal(null.counts[fold], (before > 0).sum(0))
    assert moved
    check_against(folds, ensemble.dense)
    in_parallel = null_folds(first_samples(folds), seed=seed, keep_busy=keep_busy, threads=3)
    assert all((dense_of(null, fold) == dense_of(in_parallel, fold)).all() for fold in range(folds.n_folds))
    other_seed = null_folds(folds, seed=seed + 1, keep_busy=keep_busy)
    assert any((dense_of(null, fold) != dense_of(other_seed, fold)).any() for fold in range(folds.n_folds))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8, 1.0])
def test_in_null_runs_every_sample_is_as_likely_as_any_other(rate):
    """Two components that always went together meet as often as chance has it, on samples spread evenly."""
    n = 20_000
    on = np.arange(n) < rate * n
    acts = ProcessedActivations.from_dense(np.stack([on, on], 1), ["m:0", "m:1"])
    null = null_folds(fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1), seed=3)
    a, b = dense_of(null, 0).T > 0
    expected, sd = rate * rate * n, np.sqrt(n) * rate * (1 - rate)
    assert abs((a & b).sum() - expected) <= 4 * sd
    assert abs(a[: n // 4].sum() - rate * n / 4) <= 4 * np.sqrt(n / 4 * rate * (1 - rate))
    assert not np.array_equal(dense_of(null, 0), dense_of(null, 1)) or rate == 1


def test_trades_visit_every_arrangement_with_these_margins_evenly():
    """Three components of one sample each, on three samples of one component each: six arrangements."""
    acts = ProcessedActivations.from_dense(np.tile(np.eye(4)[:3], (1, 1)), plain.names(4))
    folds = fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1)
    seen: dict[bytes, int] = {}
    for seed in range(600):
        arranged = dense_of(null_folds(folds, seed=seed, keep_busy=True), 0).tobytes()
        seen[arranged] = seen.get(arranged, 0) + 1
    assert len(seen) == 6
    assert max(seen.values()) < 100 + 6 * np.sqrt(100)


@pytest.mark.parametrize("has_values", [False, True])
def test_a_trade_gives_every_component_of_one_of_two_samples_the_same_chance(has_values):
    """Samples with components 0 to 4, and 0 and 5: each of 1 to 5 is the other one of the second sample."""
    rng, n_draws = np.random.default_rng(5), 4000
    partner = np.zeros(6, dtype=np.int64)
    for draw in range(n_draws):
        rows = np.array([0, 1, 2, 3, 4, 0, 5], dtype=np.uint16)
        values = np.array([10, 1, 2, 3, 4, 20, 5] if has_values else [], dtype=np.float32)
        kernels.trade(np.array([draw % 2, 1 - draw % 2]), np.array([0, 5, 7]), rows, values, 6, rng)
        assert sorted(rows[:5].tolist() + rows[5:].tolist()) == [0, 0, 1, 2, 3, 4, 5]
        assert 0 in rows[:5]
        assert 0 in rows[5:]
        if has_values:  # those of the shared component stay in their samples
            assert (values == np.where(rows == 0, [10] * 5 + [20] * 2, rows)).all()
        partner[rows[5:].max()] += 1
    assert partner[0] == 0
    assert (abs(partner[1:] - n_draws / 5) < 4.5 * np.sqrt(n_draws * 0.16)).all()


def test_a_null_run_takes_the_first_samples_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(nulls, "NULL_ENTRIES", 100)
    dense = np.tile(np.arange(40)[:, None] % 2 == 0, (1, 4)).astype(np.float32)
    acts = [ProcessedActivations.from_dense(dense, plain.names(4)) for _ in range(2)]
    folds = fold_samples([acts, acts], acts[0].labels, [acts[0].labels] * 2, 0.1)
    null = null_folds(first_samples(folds), seed=0)
    # 50 a fold: 12 samples with 4 each, up to the next active one; then a single sample of the second batch
    first, second = null.pieces(0)
    assert (first.n_rows, len(first.columns), second.n_rows) == (24, 48, 1)
    assert folds.n_samples.tolist() == [80, 80]


@pytest.mark.parametrize("kind", ["values", "ones", "half ones", "sets", "no samples"])
@pytest.mark.parametrize("at_once", [1, 100, 1 << 22])
def test_a_batch_read_in_pieces_has_the_active_entries_of_the_whole(tmp_path, monkeypatch, kind, at_once):
    n_samples = 60 if at_once == 1 else 300  # then every sample is a piece
    matrix = sparse.random(n_samples, 40, density=0.2, format="csr", dtype=np.float32, random_state=1)
    if kind == "no samples":
        matrix = matrix[:0]
    if kind in ("ones", "half ones"):
        matrix.data[: len(matrix.data) // (1 if kind == "ones" else 2)] = 1
    batch = ActivationBatch.from_sparse(matrix, [f"m:{i}" for i in range(40)], seed=0)
    if kind == "sets":
        batch = replace(batch, activations=batch.activations.as_sets(0.1))
    batch.save(tmp_path / "batch_0.pt")
    columns = np.random.default_rng(0).permutation(40)
    columns[3] = -1
    whole = samples._active_entries(ActivationBatch.load(tmp_path / "batch_0.pt").matrix, columns, 40, 0.1)
    monkeypatch.setattr("spdclust.files.stored_batch.ENTRIES_PER_CHUNK", at_once)
    monkeypatch.setattr("spdclust.merge.sources.ENTRIES_PER_STRETCH", at_once)
    read = [
        next_batch(source) for source in (BatchedActivations(tmp_path), as_batch_source(batch.activations))
    ]
    for each, threads in itertools.product([*read, InChunks(batch.activations)], (1, 3)):
        pieces = samples._active_in_batch(each, columns, 40, 0.1, threads)
        for name in ("start", "columns", "values"):
            expected, found = getattr(whole, name), getattr(pieces, name)
            assert (expected is None) == (found is None)
            if expected is not None:
                assert found.dtype == expected.dtype
                np.testing.assert_array_equal(found, expected)
        cut = samples._active_in_batch(each, columns, 40, 0.1, threads, most=50)
        n_left, n_right = len(cut.columns), len(whole.columns)
        at_most = 7 * 40 if isinstance(each, InChunks) else max(at_once, 40)
        assert min(50, n_right) <= n_left <= min(n_right, 50 + at_most)
        np.testing.assert_array_equal(to_dense(cut), to_dense(whole)[: cut.n_rows])


def test_sums_over_some_folds_read_no_others():
    piece = samples._active_entries(sparse.csr_array(np.eye(3)), np.arange(3), 3, 0.1)
    read = []

    def pieces(fold, most):
        read.append(fold)
        return iter([piece])

    folds = Folds(["m:0", "m:1", "m:2"], 3, pieces)
    sums = pair_sums(folds, [0, 2], threads=1)
    assert sums.counts.tolist() == [2, 2, 2]
    assert read == [0, 2]
    assert folds.counts.tolist() == [[1, 1, 1]] * 3
