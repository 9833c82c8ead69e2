"""What objects print of themselves: a line, however much they hold."""

import re

import numpy as np
import pytest
from scipy import sparse

from spdclust import ActivationBatch, BatchedActivations, MergeConfig, MergeHistory, ProcessedActivations
from spdclust.example_ensemble import example_found, example_normalized
from spdclust.partitions.ensemble import MergeHistoryEnsemble, normalize_ensemble
from spdclust.pipeline import ClusteringResults
from spdclust.stability.analysis import analyze_stability

N = 13_000


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    labels = [f"a_module_with_a_long_name:{component}" for component in range(N)]
    pairs = np.tile([0, 1], (N - 3, 1))
    mdl = np.linspace(9.0, 2.0, N - 3)
    history = MergeHistory(labels, pairs, mdl, mdl, MergeConfig(iters=None), provenance={"seed": [0, 3]})
    ensemble = MergeHistoryEnsemble([history] * 20)
    activations = ProcessedActivations.from_sparse(sparse.eye_array(N), labels)
    batch = ActivationBatch(activations, seed=7)
    folder = tmp_path_factory.mktemp("batches")
    batch.save(folder / "batch_0.pt")
    normalized, small = normalize_ensemble(ensemble), example_normalized()
    stability = analyze_stability(small)
    return [
        history, history.at(5), ensemble, normalized, activations, batch, BatchedActivations(folder), stability,
        stability.cuts["least_mdl"], stability.cuts["least_mdl"].components,
        ClusteringResults(folder, ensemble, normalized, {"matching_dist": np.zeros((N, 2, 2))}, stability, example_found()),
    ]  # fmt: skip


def test_each_prints_one_short_line(objects):
    for each in objects:
        assert re.fullmatch(r"<[A-Za-z]+( [a-z_]+=.+)+>", repr(each))
        assert len(repr(each)) < 250


def test_each_is_a_small_table_in_notebooks(objects):
    for each in objects:
        text = each._repr_html_()
        assert text.startswith(f"<table><caption>{type(each).__name__}</caption><tr>")
        assert len(text) < 700


def test_a_history_prints_what_a_reader_asks_first(objects):
    assert repr(objects[0]) == (
        "<MergeHistory components=13000 merges=12997 groups_left=3 groups_at_least_mdl=3 least_mdl=2.0 seed=[0, 3]>"
    )
    assert repr(objects[1]) == "<GroupMerge groups=12994 components=13000 largest_group=7>"


def test_names_are_escaped():
    config = MergeConfig(min_groups=1)
    provenance = {"seed": "<script>"}
    history = MergeHistory(
        ["a", "b"], np.array([[0, 1]]), np.ones(1), np.ones(1), config, provenance=provenance
    )
    assert "<td>&lt;script&gt;</td>" in history._repr_html_()
