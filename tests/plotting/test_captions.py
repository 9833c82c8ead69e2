"""Captions: the files made from the registry, and every figure of the workflow has one."""

from pathlib import Path

import pytest
from conftest import REPOSITORY

from spdclust.core.names import METHODS
from spdclust.plotting.captions import _caption_files, figure_caption, main
from spdclust.plotting.registry import FIGURE_RULES

FOLDER = REPOSITORY / "report" / "captions"


def test_the_files_are_those_of_the_package():
    for name, text in _caption_files().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, "run: make format"


def test_there_are_no_other_files():
    keys = [figure.key for rule in FIGURE_RULES.values() for figure in rule.figures]
    assert len(keys) == len(set(keys)) == len(_caption_files())
    assert {path.name for path in FOLDER.iterdir()} == set(_caption_files())


@pytest.mark.parametrize(
    "stem",
    [
        *("groups", "groups_tree", "mdl", "cluster_sizes", "stability", "contested", "coclustering"),
        *("consensus", "sweep", "sweep_distances", "sweep_bits"),
        *(f"{kind}_{method}" for kind in ("distances", "runs") for method in METHODS),
        *(
            f"activations_run_12_{name}"
            for name in ("raw", "sorted", "coactivation", "log_coactivation", "histograms")
        ),
        "merge_candidates_run_0",
        "merge_tree_run_0",
        "merge_state_run_0_least_mdl",
        "merge_state_run_3_iteration_40",
    ],
)
def test_every_figure_has_a_caption(stem):
    caption = figure_caption(stem)
    assert caption is not None
    assert len(caption.text) > 100
    assert "{" not in caption.text + caption.title
    if stem.startswith(("distances", "runs")):
        assert stem.split("_", 1)[1] in caption.text


def test_other_files_have_none():
    for stem in ("explorer", "merge_tree_run_", "merge_tree_run_x", "distances", "activations_run_0_none"):
        assert figure_caption(stem) is None


def test_all_files_are_written(tmp_path):
    main(tmp_path)
    written = {path.name: path.read_text(encoding="utf-8") for path in Path(tmp_path).iterdir()}
    assert written == _caption_files()
