"""Compare a result with its reproduction."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.safe_reading import read_json
from spdclust.files.archive import read_arrays
from spdclust.files.histories import load_merge_history
from spdclust.merge.history import MergeHistory


@dataclass(frozen=True)
class Compared:
    """One file compared with its reproduction.

    Attributes:
        name: name of the file in messages.
        same_bytes: whether every byte is equal.
        numbers: names of the contents that differ.
        records: names of the provenance entries that differ.
    """

    name: str
    same_bytes: bool
    numbers: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)

    @property
    def same_numbers(self) -> bool:
        """Whether everything except the provenance is equal."""
        return self.same_bytes or not self.numbers

    def line(self) -> str:
        """Return one line for the terminal.

        Example:
            >>> Compared("history.zip", False, records=["code.merge: 1f, now 2e"]).line()
            'same numbers  history.zip (code.merge: 1f, now 2e)'
        """
        if self.same_bytes:
            return f"equal         {self.name}"
        differences = "; ".join(self.numbers + self.records)
        verdict = "same numbers" if self.same_numbers else "differs"
        return f"{verdict:<12}  {self.name} ({differences})"


def compare_histories(before: Path, again: Path, name: str) -> Compared:
    """Compare two histories byte by byte, and report the differences.

    Example:
        >>> from dataclasses import replace
        >>> from spdclust.example_ensemble import example_history
        >>> from spdclust.files.histories import save_merge_history
        >>> history = example_history()
        >>> other = replace(history, provenance=history.provenance | {"seed": 1})
        >>> before, again = folder / "before.zip", folder / "again.zip"
        >>> save_merge_history(history, before)
        >>> save_merge_history(other, again)
        >>> compare_histories(before, again, "history.zip").line()
        'same numbers  history.zip (seed: 0, now 1)'

    Raises:
        InputError: one of them cannot be read.
    """
    if before.read_bytes() == again.read_bytes():
        return Compared(name, True)
    first, second = load_merge_history(before), load_merge_history(again)
    return Compared(name, False, _differing_numbers(first, second), _differing_records(first, second))


def compare_files(before: Path, again: Path, name: str) -> Compared:
    """Compare two files of an ensemble byte by byte; report if only the provenance differs.

    Example:
        >>> import json
        >>> first, second = folder / "summary.json", folder / "again.json"
        >>> _ = first.write_text(json.dumps({"n_runs": 4, "provenance": {"spdclust": "0.1.0"}}))
        >>> _ = second.write_text(json.dumps({"n_runs": 4, "provenance": {"spdclust": "0.2.0"}}))
        >>> compare_files(first, second, "summary.json").line()
        'same numbers  summary.json (what it was made from)'

    Raises:
        InputError: one of two files that differ cannot be read.
    """
    if before.name == "history.zip":
        return compare_histories(before, again, name)
    if before.read_bytes() == again.read_bytes():
        return Compared(name, True)
    if before.suffix in _READ and _READ[before.suffix](before) == _READ[before.suffix](again):
        return Compared(name, False, records=["what it was made from"])
    return Compared(name, False, ["other bytes"])


def _json_numbers(path: Path) -> Any:
    return _without_records(read_json(path, f"a whole {path.name}"))


def _without_records(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_records(each) for each in value]
    if isinstance(value, dict):
        return {key: _without_records(each) for key, each in value.items() if key not in _RECORDS}
    return value


def _npz_numbers(path: Path) -> Any:
    return {
        name: (array.dtype.str, array.shape, array.tobytes())
        for name, array in read_arrays(path, kind=path.name).items()
        if name not in _RECORDS
    }


_RECORDS = ("provenance", "digest", "package_version", "git_commit", "git_dirty")
_READ = {".json": _json_numbers, ".npz": _npz_numbers}


def _differing_numbers(first: MergeHistory, second: MergeHistory) -> list[str]:
    """Return which labels, settings and arrays of two histories differ."""
    differences = []
    if first.labels != second.labels:
        differences.append(f"labels: {first.n_components} components, now {second.n_components}")
    settings, others = first.config.resolved(), second.config.resolved()
    differences += [f"merge_config.{key}" for key in settings if settings[key] != others.get(key)]
    pairs, other_pairs = first.selected_pairs, second.selected_pairs
    if not np.array_equal(pairs, other_pairs):
        n = min(len(pairs), len(other_pairs))
        unequal = np.flatnonzero((pairs[:n] != other_pairs[:n]).any(axis=1))
        n_equal = int(unequal[0]) if len(unequal) else n
        differences.append(f"merges after the first {n_equal}" if n_equal else "all merges")
    arrays = {"mdl_loss": first.mdl_loss, "merge_pair_cost": first.merge_pair_cost, **first.records}
    now = {"mdl_loss": second.mdl_loss, "merge_pair_cost": second.merge_pair_cost, **second.records}
    for name in sorted(arrays.keys() | now.keys()):
        if name not in arrays or name not in now or not _equal(arrays[name], now[name]):
            differences.append(name)
    return differences


def _equal(first: np.ndarray, second: np.ndarray) -> bool:
    return np.array_equal(first, second, equal_nan=bool(first.dtype.kind == "f" and second.dtype.kind == "f"))


def _differing_records(first: MergeHistory, second: MergeHistory) -> list[str]:
    """Return which entries of two histories' provenance differ, each with both values."""
    before, now = flattened(first.provenance), flattened(second.provenance)
    return [
        f"{name}: {_short(before.get(name))}, now {_short(now.get(name))}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names.

    Example:
        >>> flattened({"git": {"commit": "a"}, "batches": ["b", "c"]})
        {'git.commit': 'a', 'batches.0': 'b', 'batches.1': 'c'}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(inner, Mapping):
            flat |= flattened({str(key): each for key, each in inner.items()}, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
