"""Batches with `keep_values: false`: the same merges and groups, and one line where a value is missed."""

from dataclasses import replace

import numpy as np
import pytest

from spdclust.commands.cli import main as spdclust
from spdclust.config.merge import MergeConfig
from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.example_ensemble import MERGE, example_activations
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.batches import BatchedActivations
from spdclust.files.histories import load_merge_history
from spdclust.files.stored_batch import StoredBatch, TokenExamples, samples_of
from spdclust.groups.find import find_groups
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.merging import merge_iteration
from spdclust.pipeline import cluster_analysis_pipeline
from spdclust.plotting.activations import activation_figures
from spdclust.sampling.estimate import estimate
from spdclust.sampling.precompute import precompute_batches_for_ensemble
from spdclust.stages.explorer import explorer, files_of
from spdclust.stages.groups import examples
from spdclust.stages.results import draw_figures
from spdclust.user_files.runs import read_user_batch

TOY = {"model_path": "resources/resid_mlp1", "n_tokens": 700, "batch_size": 256, "device": "cpu"}
RECORDS = ("gap_to_best", "pair_rank", "size_first", "activity_first")
ONE_LINE = "only the sets of active components at another threshold are known"


def sampled(folder, n_batches=1, **settings):
    config = ClusteringRunConfig.model_validate(TOY | {"n_batches": n_batches} | settings)
    return precompute_batches_for_ensemble(config, 1, folder)[0]


def same_merge(first, second):
    equal = first.labels == second.labels
    for name in ("selected_pairs", "mdl_loss", "merge_pair_cost"):
        equal &= getattr(first, name).tobytes() == getattr(second, name).tobytes()
    return equal and all(first.records[name].tobytes() == second.records[name].tobytes() for name in RECORDS)


@pytest.fixture(scope="module")
def values_and_sets(tmp_path_factory):
    """The same two batches twice: with values, and as sets."""
    folder = tmp_path_factory.mktemp("twice")
    as_sets = {"keep_values": False, "sampling_threshold": 0.1}
    return sampled(folder / "values", n_batches=2), sampled(folder / "sets", n_batches=2, **as_sets)


@pytest.mark.parametrize("statistic", ["max", "mean"])
@pytest.mark.parametrize("method", ["range", "mcmc"])
def test_a_merge_of_sets_has_the_bytes_of_one_of_values(values_and_sets, statistic, method):
    values, sets = map(BatchedActivations, values_and_sets)
    # both filter by what is not in the sets: some maxima are between 0.02 and the threshold
    dead = {"filter_dead_stat": statistic, "filter_dead_threshold": 0.02}
    config = MergeConfig(
        activation_threshold=0.1,
        iters=60,
        recompute_costs_every=40,
        merge_pair_sampling_method=method,
        **dead,
    )
    assert same_merge(merge_iteration(values, config, 3), merge_iteration(sets, config, 3))


def test_a_batch_of_sets_takes_a_third_and_records_what_filtering_needs(tmp_path):
    (values,) = sampled(tmp_path / "values", n_tokens=5000)
    (sets,) = sampled(tmp_path / "sets", n_tokens=5000, keep_values=False, sampling_threshold=0.1)
    assert sets.stat().st_size < 0.4 * values.stat().st_size
    whole, batch = ActivationBatch.load(values), ActivationBatch.load(sets)
    assert batch.threshold == 0.1
    assert (batch.matrix != (whole.matrix > np.float32(0.1))).nnz == 0
    assert batch.maxima.tobytes() == whole.maxima.tobytes()
    assert batch.means.tobytes() == whole.means.tobytes()
    assert ((whole.maxima > 0) & (whole.maxima < 0.1)).any()


def test_default_batches_hold_no_trace_of_the_setting(tmp_path):
    (values,) = sampled(tmp_path)
    texts = StoredBatch.open(values).texts
    assert texts["format_version"] == "2"
    assert "threshold" not in texts
    assert "keep_values" not in texts["provenance.sampling"]


@pytest.mark.parametrize("asked", [0.2, None])
def test_another_threshold_is_one_line(tmp_path, asked):
    paths = sampled(tmp_path, keep_values=False, sampling_threshold=0.1)
    with pytest.raises(
        InputError, match=r"batch_0\.pt: activation_threshold: only the sets .*allowed: 0\.1;"
    ):
        merge_iteration(BatchedActivations(paths), MergeConfig(activation_threshold=asked))
    with pytest.raises(InputError, match=r"activation_threshold: only the sets"):
        activation_figures(ActivationBatch.load(paths[0]), activation_threshold=asked)


def test_batches_of_a_run_are_all_sets_at_one_threshold(tmp_path):
    acts = example_activations()
    ActivationBatch(acts.as_sets(0.1)).save(tmp_path / "batch_0.pt")
    ActivationBatch(acts).save(tmp_path / "batch_1.pt")
    batches = BatchedActivations(tmp_path)
    with pytest.raises(
        InputError, match=r"batch_1\.pt: threshold: threshold differs .*values; allowed: 0\.1"
    ):
        batches.component_stats()
    with pytest.raises(InputError, match="threshold"):
        merge_iteration([acts.as_sets(0.1), acts.as_sets(0.2)], MERGE)


def test_groups_reject_sets_at_another_threshold():
    runs = [example_activations(run) for run in (0, 1)]
    histories = [merge_iteration(acts, MERGE, run) for run, acts in enumerate(runs)]
    with pytest.raises(InputError, match=ONE_LINE):
        find_groups(histories, [acts.as_sets(0.3) for acts in runs])


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """An ensemble whose batches are sets, converted from values of its user, with tokens."""
    folder = tmp_path_factory.mktemp("sets")
    for run in (0, 1):
        batch = ActivationBatch(example_activations(run), seed=run)
        tokens = (batch.matrix[:, [0]].toarray() > 0).astype(int)
        kept = TokenExamples(tokens, samples_of(len(tokens), 1, None), {0: " dog", 1: " cat"})
        replace(batch, examples=kept).save(folder / "own" / f"run_{run}" / "batch_0.pt")
    config = ClusteringRunConfig(
        precomputed_activations_dir=str(folder / "own"),
        keep_values=False,
        sampling_threshold=0.1,
        merge_config=MERGE,
    )
    pipeline = ClusteringPipelineConfig(clustering_run_config=config, n_runs=2)
    from spdclust.files.ensemble_folder import EnsembleFolder

    made = cluster_analysis_pipeline(pipeline, results=folder / "results", name="example")
    return EnsembleFolder(made.folder)


def test_the_whole_analysis_works_on_sets(ensemble):
    batches = [ActivationBatch.load(ensemble.batches(run) / "batch_0.pt") for run in (0, 1)]
    assert [batch.threshold for batch in batches] == [0.1, 0.1]
    expected = merge_iteration(example_activations(1), MERGE, (0, 1))
    assert same_merge(load_merge_history(ensemble.history(1)), expected)
    found = find_groups(
        [load_merge_history(ensemble.history(run)) for run in (0, 1)],
        [BatchedActivations(ensemble.batches(run)) for run in (0, 1)],
    )
    assert sorted(found.members(0))[0].startswith("attn:")
    assert found.n_groups == 4
    page = ensemble.folder / "explorer.html"
    explorer(ensemble.folder, page, ensemble=ensemble.name, **files_of(ensemble.folder))
    assert page.stat().st_size > 10_000
    assert "' cat' 36/36" in examples(ensemble.folder, run=0, limit=1)


def test_figures_of_activations_and_of_a_moment(ensemble, tmp_path):
    batch = ensemble.batches(0) / "batch_0.pt"
    for key in ("activations_raw", "activations_histograms"):
        draw_figures(
            "plot_activations", {"batch": batch}, {key: [tmp_path / f"{key}.png"]},
            arguments={"activation_threshold": 0.1},
        )  # fmt: skip
        assert (tmp_path / f"{key}.png").stat().st_size > 1000
    drawn = activation_figures(ActivationBatch.load(batch), activation_threshold=0.1)["histograms"]
    assert drawn.axes[0].get_title(loc="left") == "How active: not known, keep_values: false"
    draw_figures(
        "plot_merge_state", {"history": ensemble.history(0), "batches": [batch]},
        {"merge_state": [tmp_path / "state.png"]}, arguments={"moment": "least_mdl", "title": "R"},
    )  # fmt: skip
    assert (tmp_path / "state.png").is_file()


def test_the_page_and_the_examples_reject_another_threshold(ensemble, tmp_path):
    batch = ensemble.batches(0) / "batch_0.pt"
    whole = batch.read_bytes()
    try:
        loaded = ActivationBatch.load(batch)
        replace(loaded, activations=example_activations(0).as_sets(0.4)).save(batch)
        with pytest.raises(InputError, match=r"run_0/batch_0\.pt: activation_threshold: only the sets"):
            examples(ensemble.folder, run=0)
        with pytest.raises(InputError, match=r"run_0/batch_0\.pt: activation_threshold: only the sets"):
            explorer(ensemble.folder, tmp_path / "x.html", ensemble="x", **files_of(ensemble.folder))
    finally:
        batch.write_bytes(whole)


@pytest.mark.parametrize("merge", [{"activation_threshold": 0.2}, {"activation_threshold": None}])
def test_a_contradiction_is_found_before_anything_runs(tmp_path, merge, capsys):
    run = tmp_path / "run.yaml"
    run.write_text(
        f"model_path: resources/resid_mlp1\nkeep_values: false\nmerge_config: {merge}".replace(
            "None", "null"
        ).replace("'", "")
    )
    assert spdclust(["validate", str(run)]) != 0
    said = capsys.readouterr().err.strip()
    assert "merge_config.activation_threshold: found" in said
    assert "allowed: 0.01, the sampling_threshold" in said
    assert "\n" not in said


def test_the_merge_follows_the_sampling_threshold_if_it_states_none():
    config = ClusteringRunConfig(model_path="m", keep_values=False, sampling_threshold=0.3)
    assert config.merge_config.activation_threshold == 0.3
    assert config.resolved()["merge_config"]["activation_threshold"] == 0.3
    assert ClusteringRunConfig.model_validate(config.sampling()).sampling() == config.sampling()
    assert (
        ClusteringRunConfig(model_path="m", sampling_threshold=0.3).merge_config.activation_threshold == 0.01
    )


def test_a_threshold_without_sets_has_no_effect():
    config = ClusteringRunConfig.model_validate(TOY | {"sampling_threshold": 0.3})
    assert any(note.startswith("sampling_threshold: no effect") for note in estimate(config).notes)
    fewer = estimate(ClusteringRunConfig.model_validate(TOY | {"keep_values": False}))
    assert (
        fewer.batch_bytes(100)
        < 0.4 * estimate(ClusteringRunConfig.model_validate(TOY)).batch_bytes(100) + 7000
    )


def test_user_supplied_sets_keep_their_threshold(tmp_path):
    halves = [example_activations(run) for run in (0, 1)]
    paths = [tmp_path / "own" / f"x-{number}-of-2.pt" for number in (0, 1)]
    for path, half in zip(paths, halves, strict=True):
        ActivationBatch(half.as_sets(0.6)).save(path)
    dense = np.vstack([half.matrix.toarray() for half in halves])
    batch = read_user_batch(paths)
    assert np.array_equal(batch.matrix.toarray(), dense > np.float32(0.6))
    assert np.array_equal(batch.maxima, dense.max(axis=0))
    assert batch.means == pytest.approx(dense.mean(axis=0, dtype=np.float64))
    config = ClusteringRunConfig(precomputed_activations_dir=str(tmp_path / "own"))
    with pytest.raises(InputError, match=r"x-0-of-2\.pt: merge_config\.activation_threshold: only the sets"):
        estimate(config)
    config = ClusteringRunConfig(precomputed_activations_dir=str(tmp_path / "own"), keep_values=False)
    with pytest.raises(InputError, match=r"x-0-of-2\.pt: sampling_threshold: only the sets"):
        precompute_batches_for_ensemble(config, 1, tmp_path / "batches")
    ActivationBatch(halves[1].as_sets(0.5)).save(paths[1])
    with pytest.raises(InputError, match=r"x-1-of-2\.pt: threshold: shards have different thresholds"):
        read_user_batch(paths)


@pytest.mark.parametrize("threshold", [-0.1, 1.0, 0.99999999, float("nan")])
def test_thresholds_out_of_range(threshold):
    with pytest.raises(InputError, match="threshold"):
        example_activations().as_sets(threshold)


def test_a_batch_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("spdclust.files.stored_batch.ENTRIES_PER_CHUNK", 50)
    acts = example_activations()
    for batch in (acts, acts.as_sets(0.1)):
        ActivationBatch(batch).save(tmp_path / "batch_0.pt")
        chunks = list(StoredBatch.open(tmp_path / "batch_0.pt").chunks())
        assert len(chunks) > 5
        assert max(chunk.nnz for chunk in chunks) <= 50
        assert np.array_equal(np.vstack([chunk.toarray() for chunk in chunks]), batch.matrix.toarray())
        pieces = merge_iteration(BatchedActivations(tmp_path), MERGE, 0)
        assert same_merge(pieces, merge_iteration(batch, MERGE, 0))


def test_a_merge_from_disk_holds_no_matrix(tmp_path, monkeypatch):
    ActivationBatch(example_activations()).save(tmp_path / "batch_0.pt")
    batches = BatchedActivations(tmp_path)
    for name in ("from_sparse", "from_dense"):
        monkeypatch.setattr(ProcessedActivations, name, None)
    assert merge_iteration(batches, MERGE, 0).n_iterations == 11
