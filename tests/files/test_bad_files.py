"""Damaged files of every format: refused in one line or read right, whatever the damage."""

import os
from pathlib import Path

import pytest
from damage import outcome, try_many
from formats import FORMATS, SLOW_TO_READ

SEED = 20261
THOUSANDS = 1000


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path_factory):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "hf")
    datasets.disable_progress_bars()


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_refused_in_one_line_or_read_right(tmp_path, name):
    count = SLOW_TO_READ.get(name, 20)
    tally = try_many(FORMATS[name], tmp_path / "it", SEED, count)
    assert tally.tried == count


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_thousands_of_damaged_files_are_refused_in_one_line_or_read_right(tmp_path, name, record_property):
    count = 40 * SLOW_TO_READ[name] if name in SLOW_TO_READ else THOUSANDS
    tally = try_many(FORMATS[name], tmp_path / "it", SEED + 1, count)
    record_property("tally", vars(tally))
    assert tally.refused > 0
    assert tally.tried == tally.refused + tally.read == count


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


NO_FILES = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a loop of links": _loop,
    "a link that leads nowhere": lambda path: path.symlink_to("nowhere/at/all"),
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe\x00{}"),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
}
"""What may stand where a file is expected."""

PASSED_OVER = {("tokens.npy", "missing"), ("tokens.json", "missing"), ("labels.txt", "missing"), ("labels.json", "missing"), ("metadata.json", "missing"),
               ("summary.json", "missing"), ("batch_<b>.pt, statistics", "missing"), ("texts, saved folder, state.json", "missing")}  # fmt: skip
"""Files that need not be there, and contents that mean something."""


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_such_file_is_refused_at_once(tmp_path, kind):
    for number, (name, form) in enumerate(FORMATS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = form.make(folder)
        path.unlink()
        NO_FILES[kind](path)
        expected = "read" if (name, kind) in PASSED_OVER else "refused"
        assert (name, outcome(form, path)) == (name, expected)
