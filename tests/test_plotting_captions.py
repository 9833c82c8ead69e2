"""Captions: one place, the files made from it, and every figure of the workflow has one."""

import re
from pathlib import Path

import pytest
from conftest import REPOSITORY

from spdclust.core.distance_methods import METHODS
from spdclust.plotting.captions import CAPTIONS, caption_files, figure_caption, main
from spdclust.plotting.names import (
    ACTIVATION_FIGURES,
    CURVE_FIGURES,
    FOUND_FIGURES,
    GROUP_FIGURES,
    STABILITY_FIGURES,
)
from spdclust.sweeps.names import SWEEP_FIGURES

FOLDER = REPOSITORY / "report" / "captions"


def test_the_files_are_those_of_the_package():
    for name, text in caption_files().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, (
            "run: python -m spdclust.plotting.captions"
        )


def test_the_captions_that_rules_name_are_those_that_there_are():
    named = {
        name
        for rules in (REPOSITORY / "rules").glob("*.smk")
        for name in re.findall(r"report/captions/(.+?)\.rst", rules.read_text(encoding="utf-8"))
    }
    drawn = {*FOUND_FIGURES, *CURVE_FIGURES, *STABILITY_FIGURES, *GROUP_FIGURES, *SWEEP_FIGURES}
    drawn |= {f"activations_{name}" for name in ACTIVATION_FIGURES}
    assert "{captions}{figure}" in named  # of figures that are drawn together
    assert named - {"{captions}{figure}"} | drawn == {path.stem for path in FOLDER.iterdir()} == set(CAPTIONS)


@pytest.mark.parametrize(
    "stem",
    [
        *FOUND_FIGURES,
        *CURVE_FIGURES,
        *STABILITY_FIGURES,
        *GROUP_FIGURES,
        *SWEEP_FIGURES,
        *(f"{kind}_{method}" for kind in ("distances", "runs") for method in METHODS),
        *(f"activations_run_12_{name}" for name in ACTIVATION_FIGURES),
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
    assert figure_caption("explorer") is None


def test_all_files_are_written(tmp_path):
    main(tmp_path)
    written = {path.name: path.read_text(encoding="utf-8") for path in Path(tmp_path).iterdir()}
    assert written == caption_files()
