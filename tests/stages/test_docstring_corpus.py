"""The corpus of the language-model demonstration."""

import json

import pytest

from spdclust.core.errors import InputError
from spdclust.stages import docstring_corpus as stage

LONG = "A sentence about something. " * 10


@pytest.fixture
def python(tmp_path, monkeypatch):
    """A small Python installation."""
    standard, installed = tmp_path / "lib", tmp_path / "site"
    for path, text in {
        standard / "b.py": f'"""B {LONG}"""\nimport nothing\ndef short():\n    """Too short."""\n',
        standard / "a.py": f'class A:\n    """A {LONG}"""\n    def f(self):\n        """F {LONG}"""\n',
        standard / "test" / "t.py": f'"""T {LONG}"""\n',
        standard / "broken.py": "def (",
        standard / "twice.py": f'"""B {LONG}"""\n',
        installed / "numpy" / "n.py": f'async def n():\n    """N {LONG}"""\n',
        installed / "other" / "o.py": f'"""O {LONG}"""\n',
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(
        stage.sysconfig, "get_path", lambda name: str(standard if name == "stdlib" else installed)
    )
    return tmp_path


def test_texts_are_lower_case_once_each_in_the_order_of_files(python, tmp_path):
    path = tmp_path / "docs.jsonl"
    assert stage.docstring_corpus(path) == 4
    stories = [json.loads(line)["story"] for line in path.read_text().splitlines()]
    rest = LONG.strip().lower()
    assert stories == [f"{letter} {rest}" for letter in "afbn"]
    before = path.read_bytes()
    stage.docstring_corpus(path)
    assert path.read_bytes() == before


def test_a_python_without_sources_is_one_line(python, tmp_path, monkeypatch):
    monkeypatch.setattr(stage.sysconfig, "get_path", lambda name: str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="no docstrings in this Python"):
        stage.docstring_corpus(tmp_path / "docs.jsonl")
    assert not (tmp_path / "docs.jsonl").exists()
