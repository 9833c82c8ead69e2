"""What a history was made from, and a comparison of a result with its reproduction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from spdclust.config.load import read_mapping, validate
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.core.provenance import INSIST
from spdclust.core.safe_reading import read_json
from spdclust.files.archive import read_arrays
from spdclust.files.ensemble_folder import RUN_CONFIG
from spdclust.files.histories import load_merge_history
from spdclust.merge.history import MergeHistory
from spdclust.sampling.settings import places_left_out, without_places
from spdclust.user_files.folders import batches_per_run


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
    records = differing_records(first.provenance, second.provenance)
    return Compared(name, False, _differing_numbers(first, second), records)


def compare_files(before: Path, again: Path, name: str) -> Compared:
    """Compare two files of an ensemble byte by byte; report if only the provenance differs.

    Example:
        >>> first, second = folder / "summary.json", folder / "again.json"
        >>> _ = first.write_text('{"n_runs": 4, "provenance": {"spdclust": "0.1.0"}}')
        >>> _ = second.write_text('{"n_runs": 4, "provenance": {"spdclust": "0.2.0"}}')
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
_READ: dict[str, Callable[[Path], Any]] = {
    ".json": lambda path: _without_records(read_json(path, f"a whole {path.name}")),
    ".npz": _npz_numbers,
}


def _differing_numbers(first: MergeHistory, second: MergeHistory) -> list[str]:
    """Return which labels, settings and arrays of two histories differ."""
    settings, others = first.config.resolved(), second.config.resolved()
    differences = [f"merge_config.{key}" for key in settings if settings[key] != others.get(key)]
    differences += differing_merges(first, second)
    arrays = {"mdl_loss": first.mdl_loss, "merge_pair_cost": first.merge_pair_cost, **first.records}
    now = {"mdl_loss": second.mdl_loss, "merge_pair_cost": second.merge_pair_cost, **second.records}
    for name in sorted(arrays.keys() | now.keys()):
        if (
            name not in arrays
            or name not in now
            or not np.array_equal(arrays[name], now[name], equal_nan=True)
        ):
            differences.append(name)
    return differences


def differing_merges(first: MergeHistory, second: MergeHistory) -> list[str]:
    """Return how the components and merges of two histories differ.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> differing_merges(example_history(0), example_history(1))
        ['all merges']
    """
    differences = []
    if first.n_components != second.n_components:
        differences.append(f"labels: {first.n_components} components, now {second.n_components}")
    elif first.labels != second.labels:
        before, now = next((a, b) for a, b in zip(first.labels, second.labels, strict=True) if a != b)
        differences.append(f"labels: {before}, now {now}")
    pairs, other_pairs = first.selected_pairs, second.selected_pairs
    if not np.array_equal(pairs, other_pairs):
        n = min(len(pairs), len(other_pairs))
        unequal = np.flatnonzero((pairs[:n] != other_pairs[:n]).any(axis=1))
        n_equal = int(unequal[0]) if len(unequal) else n
        differences.append(f"merges after the first {n_equal}" if n_equal else "all merges")
    return differences


def differing_records(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return which entries of two records differ, each with both values.

    Example:
        >>> differing_records({"seed": [0, 1], "git": None}, {"seed": [0, 2]})
        ['seed.1: 1, now 2']
    """
    before, now = _flattened(first), _flattened(second)
    return [
        f"{name}: {_short(before.get(name))}, now {_short(now.get(name))}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def _flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(inner, Mapping):
            flat |= _flattened({str(key): each for key, each in inner.items()}, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


@dataclass(frozen=True, eq=False)
class Recipe:
    """The provenance of a history, as settings and commands.

    Attributes:
        history: its contents.
        config: the run's settings; None if the history does not record the origin of its batches.
    """

    path: Path
    history: MergeHistory
    config: ClusteringRunConfig | None

    @property
    def provenance(self) -> dict[str, Any]:
        """The provenance record of the history."""
        return self.history.provenance

    @property
    def batch_digests(self) -> list[str]:
        """Checksum of each batch; empty if the history was made without the workflow's stages."""
        return list(self.provenance.get("batches", []))

    @property
    def seed(self) -> tuple[int, ...] | int:
        """Seed of the merge: (`base_seed`, run), or a number.

        Raises:
            InputError: the history does not record it.
        """
        seed = self.provenance.get("seed")
        if seed is None:
            raise InputError(
                "has no record of its origin",
                file=self.path,
                field="seed",
                found=self.provenance.get("source"),
                allowed="a history that spdclust made",
            )
        return int(seed) if isinstance(seed, int) else tuple(seed)

    @property
    def run(self) -> int:
        """Number of the run in its ensemble."""
        return self.seed if isinstance(self.seed, int) else self.seed[-1]

    @property
    def base_seed(self) -> int:
        """Base seed of the ensemble."""
        return 0 if isinstance(self.seed, int) else self.seed[0]

    @property
    def drawn_for(self) -> int:
        """The run whose seeds the batches were drawn with: the history's own, unless merged by hand."""
        seeds = self.provenance.get("batch_seeds", [])
        if self.config is None or self.config.precomputed_activations_dir is not None or not seeds:
            return self.run
        return int(seeds[0] - self.config.dataset_seed) // 1000

    def settings(self) -> dict[str, Any]:
        """Return the run file that reproduces the history, as plain JSON types."""
        insisted = {INSIST: True} if self.provenance.get(INSIST) is True else {}
        if self.config is None:
            # a run file names a source of activations; without digests, the history is of merge_iteration
            source = {"precomputed_activations_dir": "BATCHES", "n_batches": len(self.batch_digests)}
            source = source if self.batch_digests else {}
            return source | insisted | {"merge_config": self.history.config.resolved()}
        sampling = {key: value for key, value in self.config.sampling().items() if value is not None}
        dataset = {key: value for key, value in sampling.pop("dataset").items() if value is not None}
        settings = sampling | insisted | ({"dataset": dataset} if dataset else {})
        if self.config.n_batches is not None:
            settings["n_batches"] = self.config.n_batches
        return settings | {"merge_config": self.history.config.resolved()}

    def commands(self) -> list[str]:
        """Return the command lines that reproduce the history, with its settings in `run.yaml`."""
        numbers = f"--config run.yaml --run {self.run} --base-seed {self.base_seed}"
        snapshot = " --git-snapshot" if "git" in self.provenance else ""
        if self.config is None:
            return [f"spdclust merge BATCHES {numbers}{snapshot} --output again"]
        if self.drawn_for == self.run:
            return [f"spdclust run {numbers}{snapshot} --output again"]
        drawn = f"--config run.yaml --run {self.drawn_for}"
        return [
            f"spdclust run {drawn} --batches drawn --output drawn",
            f"spdclust merge drawn/run_{self.drawn_for} {numbers}{snapshot} --output again",
        ]

    def lines(self) -> list[str]:
        """Return everything above as text for the terminal."""
        if not self.batch_digests:
            return self._lines_of_python()
        lines = [f"{self.path}: run {self.run} with base seed {self.base_seed}", *self._origins(), ""]
        if self.config is None:
            lines.append("the origin of its batches is not recorded; with the batches in the folder BATCHES:")
        lines += ["run.yaml:", *_indented(self.settings()), "", "commands:"]
        return lines + [f"  {command}" for command in self.commands()]

    def _origins(self) -> list[str]:
        provenance, git = self.provenance, self.provenance.get("git")
        lines = [f"  spdclust {provenance.get('spdclust', 'of an unknown version')}"]
        if git:
            lines[0] += f", commit {git['commit']}" + (" with changes" if git["dirty"] else "")
        if "checkpoint_digest" in provenance:
            lines.append(f"  checkpoint {provenance['checkpoint_digest']}")
        seeds = provenance.get("batch_seeds", [None] * len(self.batch_digests))
        for number, (seed, digest) in enumerate(zip(seeds, self.batch_digests, strict=True)):
            lines.append(f"  batch {number}, seed {seed}: {digest}")
        if self.config is not None:
            unknown = places_left_out(self.config.sampling())
            lines += [f"  {name} was an absolute path; its folder is not recorded" for name in unknown]
        return lines

    def _lines_of_python(self) -> list[str]:
        return [
            f"{self.path}: made by merge_iteration in Python, which records no origin",
            "merge_config:",
            *_indented(self.history.config.resolved()),
            f"  merge_iteration(activations, config, seed={self.seed})",
        ]


def read_recipe(path: str | Path) -> Recipe:
    """Read the recipe of a history.

    Paths that were given from the root are not in a history; they are taken from the
    `clustering_run_config.json` of its ensemble, if that is otherwise the same.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> recipe = read_recipe(write_example_ensemble(folder).history(1))
        >>> recipe.seed, recipe.config.merge_config.iters
        ((0, 1), None)
        >>> recipe.commands()
        ['spdclust run --config run.yaml --run 1 --base-seed 0 --output again']

    Raises:
        InputError: the history cannot be read, or its settings are no longer allowed.
    """
    path = Path(path)
    history = load_merge_history(path)
    sampling = history.provenance.get("sampling")
    if sampling is None:
        return Recipe(path, history, None)
    settings = _located(sampling, path) | {"merge_config": history.config.resolved()}
    config = validate(ClusteringRunConfig, settings, file=path)
    n_batches = len(history.provenance.get("batches", []))
    if _n_batches(config) != n_batches:
        config = validate(ClusteringRunConfig, settings | {"n_batches": n_batches}, file=path)
    return Recipe(path, history, config)


def _n_batches(config: ClusteringRunConfig) -> int | None:
    try:
        return batches_per_run(config)
    except ValueError:  # not given by the settings, or user-supplied files are missing
        return None


def _located(sampling: Mapping[str, Any], path: Path) -> dict[str, Any]:
    run_config = path.absolute().parents[min(2, len(path.absolute().parents) - 1)] / RUN_CONFIG
    if places_left_out(sampling) and run_config.is_file():
        found = validate(ClusteringRunConfig, read_mapping(run_config), file=run_config).sampling()
        if without_places(found) == dict(sampling):
            return found
    return dict(sampling)


def _indented(settings: Mapping[str, Any]) -> list[str]:
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    return [f"  {line}" for line in text.splitlines()]
