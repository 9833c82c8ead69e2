"""The notebooks run from the first cell to the last, and are committed with what they print."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from workflow import REPOSITORY

FOLDER = REPOSITORY / "docs/notebooks"
LAST = {
    "checkpoint": r"pairs of one group: +(\d+)% of \d+ share a feature\npairs of different groups: +([\d.]+)%",
    "latents": r"(\d+) of (\d+) concepts are recovered exactly",
}
"""By notebook, the result that it ends with."""


def printed(notebook: nbformat.NotebookNode) -> str:
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.parametrize("name", LAST)
def test_notebooks_are_small_and_have_the_output_of_every_cell(name):
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size < 300_000
    code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert re.search(LAST[name], printed(nbformat.read(path, 4)))
    assert str(Path.home()) not in path.read_text()
    assert str(REPOSITORY) not in path.read_text()


def test_every_notebook_is_tested():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(LAST)


@pytest.fixture(scope="module")
def executed():
    def execute(name):
        notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
        where = {"metadata": {"path": str(FOLDER)}}
        return printed(
            NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
        )

    return execute


@pytest.mark.slow
def test_groups_of_the_checkpoint_share_features(executed):
    text = executed("checkpoint")
    inside, between = map(float, re.search(LAST["checkpoint"], text).groups())
    assert inside > 75
    assert between < 10
    assert "independent components:         [0 0 0]" in text


@pytest.mark.slow
def test_groups_of_the_latents_are_the_concepts(executed):
    text = executed("latents")
    recovered, concepts = map(int, re.search(LAST["latents"], text).groups())
    assert recovered >= concepts - 1  # the text is that of this Python's standard library
    assert re.search(r"'\('.* '\)'", text)
    assert "latents of '(none)'" not in text
