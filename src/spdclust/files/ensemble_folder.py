"""Paths of the files of an ensemble, its batches and a sweep; its settings. Free of slow imports."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from spdclust.config.load import read_mapping, validate
from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.core.names import METHODS

if TYPE_CHECKING:
    from spdclust.config.pipeline import Comparison


RUN_CONFIG = "clustering_run_config.json"
PIPELINE_CONFIG = "pipeline_config.yaml"
META = "ensemble_meta.json"
MERGE_ARRAY = "ensemble_merge_array.npz"
SUMMARY = "summary.json"
DISTANCES_MERGES = "distances_merges.tmp"
DISTANCES_PART = "distances_part_{part}_of_{of}.tmp"
"""Temporary files while several jobs share the distances of an ensemble."""

GROUPS = {
    "record": "groups.json",
    "table": "groups.csv",
    "tree": "groups.nwk",
    "mapping": "cluster_mapping_groups.json",
}
"""Files of the groups, by their contents."""

STABILITY_FILES = {
    "record": "stability.json",
    "iterations": "stability_iterations.csv",
    "sizes": "stability_sizes.csv",
    "components": "stability_components.csv",
    "groups": "stability_groups.csv",
    "coclustering": "stability_coclustering.npz",
}
"""Files of the stability analysis, by their contents."""

SWEEP_FILES = {
    "record": "sweep.json",
    "points": "sweep_points.csv",
    "distances": "sweep_distances.csv",
}
"""Files of the comparison of a sweep's points, by their contents."""


@dataclass(frozen=True)
class EnsembleFolder:
    """An ensemble on disk.

    Attributes:
        folder: `<results>/<run_config>/<ensemble>`.

    Example:
        >>> place = EnsembleFolder(Path("results/resid_mlp1/demo"))
        >>> place.name, place.history(3).as_posix()
        ('resid_mlp1/demo', 'results/resid_mlp1/demo/runs/run_3/history.zip')
    """

    folder: Path

    @property
    def name(self) -> str:
        """Folder of the ensemble, relative to the results."""
        return "/".join(self.folder.resolve().parts[-2:])

    def history(self, run: int) -> Path:
        """History of a run."""
        return self.folder / "runs" / f"run_{run}" / "history.zip"

    def batches(self, run: int) -> Path:
        """Folder of the batches of a run."""
        return self.folder.resolve().parent / "precomputed_batches" / f"run_{run}"

    def distance_file(self, method: str) -> Path:
        """File of the distances of one method."""
        return self.folder / f"distances_{method}.npz"

    def distances(self) -> dict[str, Path]:
        """Return the existing files of distances, by method."""
        return {method: path for method in METHODS if (path := self.distance_file(method)).is_file()}

    def run_config(self) -> dict[str, Any]:
        """Return the settings of the runs; empty if the ensemble does not contain them.

        Raises:
            InputError: the file cannot be read.
        """
        return _mapping(self.folder / RUN_CONFIG)

    def pipeline_config(self) -> dict[str, Any]:
        """Return the settings of the pipeline; empty if the ensemble does not contain them.

        Raises:
            InputError: the file cannot be read.
        """
        return _mapping(self.folder / PIPELINE_CONFIG)

    def comparison(self) -> "Comparison":
        """Return how the workflow compares the runs; the defaults if the ensemble has no pipeline settings.

        Raises:
            InputError: the file cannot be read, or holds something that is not allowed.
        """
        from spdclust.config.pipeline import Comparison  # slow

        settings = self.pipeline_config()
        given = {key: settings[key] for key in Comparison.model_fields if key in settings}
        return validate(Comparison, given, file=self.folder / PIPELINE_CONFIG)


def _mapping(file: Path) -> dict[str, Any]:
    return read_mapping(file) if file.is_file() else {}


def common_folder(histories: str | Path | Sequence[str | Path]) -> Path | None:
    """Return the folder that contains an ensemble's histories, or None without histories.

    Example:
        >>> common_folder(["a/demo/runs/run_0/history.zip", "a/demo/runs/run_1/history.zip"]).as_posix()
        'a/demo'
        >>> common_folder(["a/one.zip", "a/two.zip"]).as_posix()
        'a'
    """
    if isinstance(histories, (str, Path)):
        return Path(histories)
    folders = [Path(path).parent for path in histories]
    if not folders:
        return None
    if not all(folder.is_absolute() == folders[0].is_absolute() for folder in folders):
        folders = [folder.absolute() for folder in folders]
    folder = Path(os.path.commonpath(folders))
    for part in (folder, folder.parent):
        if part.name == "runs":
            return part.parent
    return folder


def save_pipeline_config(settings: Mapping[str, Any], path: str | Path) -> None:
    """Write `pipeline_config.yaml`.

    Example:
        >>> save_pipeline_config({"n_runs": 3, "base_seed": 0}, f"{folder}/pipeline_config.yaml")
        >>> (folder / "pipeline_config.yaml").read_text().split("\\n")
        ['n_runs: 3', 'base_seed: 0', '']

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))


def save_run_config(settings: Mapping[str, Any], path: str | Path) -> None:
    """Write `clustering_run_config.json`.

    Example:
        >>> save_run_config({"model_path": "a.pth"}, f"{folder}/clustering_run_config.json")
        >>> json.loads((folder / "clustering_run_config.json").read_text())
        {'model_path': 'a.pth'}

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps(dict(settings), indent=2, ensure_ascii=False) + "\n")


def run_names(paths: Sequence[str | Path]) -> list[str]:
    """Return the name of each history in messages and tables: its folder, its file's stem, or its path.

    Example:
        >>> run_names(["demo/runs/run_0/history.zip", "demo/runs/run_1/history.zip"])
        ['run_0', 'run_1']
        >>> run_names(["history_6.zip", "history_7.zip"])
        ['history_6', 'history_7']
    """
    stems = [Path(path).parent.name if Path(path).stem == "history" else Path(path).stem for path in paths]
    unique = len(set(stems)) == len(stems) and all(stems)
    return stems if unique else [Path(path).as_posix() for path in paths]


def find_histories(folder: str | Path) -> list[Path]:
    """Return the `runs/run_<r>/history.zip` of an ensemble's folder in numeric order.

    Example:
        >>> for run in (10, 9):
        ...     (folder / f"runs/run_{run}").mkdir(parents=True)
        ...     (folder / f"runs/run_{run}/history.zip").touch()
        >>> [path.parent.name for path in find_histories(folder)]
        ['run_9', 'run_10']

    Raises:
        InputError: there are none.
    """
    candidates = [run / "history.zip" for run in Path(folder).glob("runs/run_*")]
    # a broken link is not skipped; reading it raises an error
    found = sorted((path for path in candidates if os.path.lexists(path)), key=run_number)
    if not found:
        ensembles = sorted({path.parents[1].name for path in Path(folder).glob("*/runs/run_*")})
        instead = f"; ensembles in this folder: {', '.join(ensembles[:8])}" if ensembles else ""
        raise InputError(
            "no histories" if Path(folder).is_dir() else "no such folder",
            file=folder,
            allowed=f"a folder with runs/run_<r>/history.zip{instead}",
        )
    return found


def find_history(folder: str | Path, run: int) -> Path:
    """Return the history of one run of an ensemble's folder.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> find_history(write_example_ensemble(folder).folder, 1).parent.name
        'run_1'

    Raises:
        InputError: there is no such run.
    """
    by_run = {run_number(path): path for path in find_histories(folder)}
    if run not in by_run:
        raise InputError(
            "no such run", file=folder, field="run", found=run, allowed=f"{min(by_run)} to {max(by_run)}"
        )
    return by_run[run]


def run_number(path: Path) -> int:
    """Return the run number of a history's folder, or -1 if the folder is not numbered.

    Example:
        >>> run_number(Path("demo/runs/run_3/history.zip"))
        3
    """
    number = path.parent.name.removeprefix("run_")
    return int(number) if number.isdigit() else -1
