"""The few numbers of an ensemble, counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spdclust.config.merge import MergeConfig
from spdclust.files.summaries import _format
from spdclust.merge.history import MergeHistory
from spdclust.stability.summary import summarize, summarize_stability

PAIRS = np.array([[0, 1], [1, 2], [0, 1]])


def run(mdl: list[float]) -> MergeHistory:
    return MergeHistory(["a:0", "a:1", "b:0", "b:1"], PAIRS, np.array(mdl), np.zeros(3), MergeConfig())


@pytest.mark.parametrize(("kept", "shown"), [([0, 1, 2], 1), ([0, 2], 0), ([2], 2)])
def test_distances_are_those_at_the_median_best_iteration_or_the_last_before_it(kept, shown) -> None:
    runs = [run([3.0, 1.0, 2.0]), run([3.0, 1.5, 2.0]), run([3.0, 2.5, 2.0])]
    apart = np.zeros((len(kept), 3, 3))
    for row, iteration in enumerate(kept):
        apart[row] = [[0, iteration, 4], [iteration, 0, 5], [4, 5, 0]]
    found = summarize(runs, {"matching_dist": apart}, iterations=np.array(kept))
    assert found["iteration_of_least_mdl"] == [1, 1, 2]
    assert found["n_groups_at_least_mdl"] == [2, 2, 1]
    assert found["least_mdl"] == [1.0, 1.5, 2.0]
    assert found["largest_group_at_least_mdl"] == [2, 2, 4]
    at = found["distances"]["matching_dist"]
    assert at == {"iteration": shown, "mean": (shown + 9) / 3, "min": shown, "max": 5.0}


def test_the_stability_analysis_is_summarized_where_it_is_given() -> None:
    at = {
        "iteration": 1,
        "cut": {"n_groups": [2, 2], "mdl": 1.0},
        "n_consensus_groups": 2,
        "mean_support": 0.75,
        "null": {"mean_support": 0.5, "histogram": []},
        "n_contested_components": 1,
        "histogram": [4, 1, 1],
    }
    record = {"last_agreement": None, "cuts": {"least_mdl": at}, "methods": []}
    found = summarize([run([3.0, 1.0, 2.0])] * 2, {}, stability=record)
    assert found["stability"] == summarize_stability(record)
    assert found["stability"]["cuts"]["least_mdl"] == {
        "iteration": 1,
        "n_groups": [2, 2],
        "n_consensus_groups": 2,
        "mean_support": 0.75,
        "null_mean_support": 0.5,
        "notes": [],
        "n_contested_components": 1,
    }


def test_scalar_activations_have_no_shortest_description() -> None:
    scalar = [replace(run([3.0, 1.0, 2.0]), config=MergeConfig(activation_threshold=None))] * 2
    apart = np.stack([(t + 1.0) * (1 - np.eye(2)) for t in range(3)])
    found = summarize(scalar, {"matching_dist": apart})
    assert not [key for key in found if "mdl" in key]
    assert found["distances"]["matching_dist"]["iteration"] == 2
    assert "shortest" not in (text := _format(Path("e"), found))
    assert "least description" not in text
    assert "after 3 merges: mean 3" in text
