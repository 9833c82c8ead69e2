"""The configuration and the commands that reproduce a history."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from spdclust.config.load import read_mapping, validate
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.core.provenance import INSIST
from spdclust.files.ensemble_folder import RUN_CONFIG
from spdclust.files.histories import load_merge_history
from spdclust.merge.history import MergeHistory
from spdclust.sampling.settings import places_left_out, without_places
from spdclust.user_files.folders import batches_per_run


@dataclass(frozen=True, eq=False)
class Recipe:
    """The provenance of a history, as settings and commands.

    Attributes:
        path: the history.
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
