"""Captions: one place, the files made from it, and every figure of the workflow has one."""

import re
import string
from pathlib import Path

import pytest
from conftest import REPOSITORY

from spdclust.partitions.methods import METHODS
from spdclust.plotting.captions import CAPTIONS, caption_files, figure_caption, main
from spdclust.plotting.names import ACTIVATION_FIGURES, CURVE_FIGURES, GROUP_FIGURES, STABILITY_FIGURES

FOLDER = REPOSITORY / "report" / "captions"


def test_the_files_are_those_of_the_package():
    for name, text in caption_files().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, (
            "run: python -m spdclust.plotting.captions"
        )


def test_every_caption_that_a_rule_names_exists():
    used = {
        name
        for rules in (REPOSITORY / "rules").glob("*.smk")
        for name in re.findall(r"report/captions/(.+?)\.rst", rules.read_text(encoding="utf-8"))
    }
    for name in used:
        fields = [field for _, field, *_ in string.Formatter().parse(name) if field]
        figures = GROUP_FIGURES if name == "{figure}" else ACTIVATION_FIGURES
        for figure in figures if fields else [""]:
            assert (FOLDER / f"{name.format(figure=figure)}.rst").is_file()


@pytest.mark.parametrize(
    "stem",
    [
        *CURVE_FIGURES,
        *STABILITY_FIGURES,
        *GROUP_FIGURES,
        *(f"{kind}_{method}" for kind in ("distances", "runs") for method in METHODS),
        *(f"activations_run_12_{name}" for name in ACTIVATION_FIGURES),
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


def test_no_caption_is_left_unused():
    assert len(CAPTIONS) == 12 + len(ACTIVATION_FIGURES) - 2
    files = "".join(caption_files().values()).replace("\n", " ")
    for caption in CAPTIONS.values():
        assert caption.text.split("{method}")[0] in files


def test_all_files_are_written(tmp_path):
    main(tmp_path)
    written = {path.name: path.read_text(encoding="utf-8") for path in Path(tmp_path).iterdir()}
    assert written == caption_files()
