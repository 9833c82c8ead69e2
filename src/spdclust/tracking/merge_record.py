"""Reading the record of a merge, see `recording`: while it grows, and when it is whole."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from spdclust.core.errors import InputError
from spdclust.core.opening import check_size, parse_json, refused
from spdclust.core.types import Float, Labels
from spdclust.files.records import Count, Record, checked_record
from spdclust.tracking.matrices import MergeSample

FILE_NAME = "record.jsonl"
FIGURES_NAME = "figures.f8"


class FiguresInFile(Record):
    """Where the figures of a stretch stand in `figures.f8`."""

    at: Count
    columns: list[str]
    shape: list[Count] = Field(min_length=2, max_length=2)


class RecordLine(Record):
    """One line of `record.jsonl`: a part of these."""

    identity: dict[str, Any] | None = None
    labels: Labels | None = None
    first: Count | None = None
    n: Count | None = None
    seconds: float | None = None
    memory_mb: float | None = None
    figures: FiguresInFile | None = None
    iteration: Count | None = None
    state: str | None = None
    end: bool = False

    @model_validator(mode="after")
    def _check_parts(self) -> "RecordLine":
        for name, others in _TOGETHER.items():
            if getattr(self, name) is not None and any(getattr(self, other) is None for other in others):
                raise ValueError(f"{name}: found alone (allowed: with {', '.join(others)})")
        return self


_TOGETHER = {
    "identity": ("labels",),
    "first": ("n", "seconds", "memory_mb"),
    "state": ("iteration",),
}


def read_line(text: str | bytes, file: Path) -> dict[str, Any]:
    """Return what one line of a record says.

    Example:
        >>> read_line('{"first": 0, "n": -1}', Path("record.jsonl"))
        Traceback (most recent call last):
        ...
        spdclust.InputError: record.jsonl: n: not allowed (found: -1; allowed: greater than or equal
        to 0)

    Raises:
        InputError: it is not a line of a record.
    """
    with refused("not a line of a record", file, "JSON"):
        content = parse_json(text if isinstance(text, str) else text.decode())
    return checked_record(RecordLine, content, file)


@dataclass
class MergeRecord:
    """What a record holds.

    Attributes:
        identity: what the merge is, None where there is no record.
        labels: names of the components.
        stretches: lines with `first` and `n`.
        states: files of `MergeSample`s by iteration.
        ended: whether the merge is over.
    """

    identity: dict[str, Any] | None = None
    labels: Labels = field(default_factory=list)
    stretches: list[dict[str, Any]] = field(default_factory=list)
    states: dict[int, Path] = field(default_factory=dict)
    ended: bool = False

    def add(self, line: Mapping[str, Any], folder: Path) -> None:
        """Take in one line."""
        if "identity" in line:
            self.identity, self.labels = line["identity"], list(line["labels"])
        if "first" in line:
            self.stretches.append(dict(line) | {"folder": folder})
        if "state" in line:
            self.states[line["iteration"]] = folder / Path(line["state"]).name
        self.ended |= bool(line.get("end"))

    def per_iteration(self, n: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Return seconds and memory (MB) of each of `n` iterations, the means of their stretch."""
        seconds, memory = np.full(n, np.nan), np.full(n, np.nan)
        for line in self.stretches:
            at = slice(line["first"], line["first"] + line["n"])
            seconds[at] = line["seconds"] / max(line["n"], 1)
            memory[at] = line["memory_mb"]
        return seconds, memory

    def figures(self) -> dict[str, np.ndarray]:
        """Return the figures of all iterations so far, in order, by name.

        Raises:
            InputError: they are not there, or are not what the record says.
        """
        kept: dict[str, list[Any]] = {}
        for line in self.stretches:
            if "figures" not in line:
                continue
            told, file = line["figures"], line["folder"] / FIGURES_NAME
            with refused("not the figures of a merge", file, f"as {FILE_NAME} describes them"):
                check_size(8 * math.prod(told["shape"]), file, "shape")
                rows = np.fromfile(file, count=math.prod(told["shape"]), offset=told["at"])
                columns = _columns(told["columns"], rows.reshape(told["shape"]))
            for name, values in columns.items():
                column = kept.setdefault(name, [])
                del column[line["first"] :]  # an interrupted merge went on from an earlier state
                column.extend(values.tolist())
        return {name: np.array(column) for name, column in kept.items()}

    def sample(self, iteration: int) -> MergeSample | None:
        """Return what was kept of the state after a merge; None where nothing was."""
        file = self.states.get(iteration)
        if file is None:
            return None
        try:
            return MergeSample.load(file)
        except InputError:
            return None


def load_record(folder: Path) -> MergeRecord:
    """Read the record of a merge; empty where there is none, up to the first line that cannot be read.

    Example:
        >>> import tempfile
        >>> from spdclust.tracking.recording import MergeRecorder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recorder = MergeRecorder(Path(folder), {"seed": [0, 1]}, ["m:0", "m:1", "m:2"])
        ...     recorder.watch(0, {"names": np.array([[0, 1], [0, 2]])})
        ...     record = load_record(Path(folder))
        >>> record.identity, record.stretches[0]["n"], record.ended
        ({'seed': [0, 1]}, 2, False)
    """
    record = MergeRecord()
    path = folder / FILE_NAME
    with contextlib.suppress(OSError, InputError), path.open("rb") as file:
        for line in file:
            record.add(read_line(line, path), folder)
    return record


def _columns(names: list[str], rows: Float[np.ndarray, "some columns"]) -> dict[str, np.ndarray]:
    """Return a stretch of figures by name; `names`, the merged groups, takes two columns."""
    columns: dict[str, np.ndarray] = {}
    at = 0
    for name in names:
        wide = name == "names"
        columns[name] = rows[:, at : at + 2] if wide else rows[:, at]
        at += 2 if wide else 1
    return columns
