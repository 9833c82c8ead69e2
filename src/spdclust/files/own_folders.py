"""Find the files of user-supplied activations for each run, without reading them."""

import re
from pathlib import Path

from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.files.own_layout import LABEL_FILES, cache_files, is_saved_dataset, is_tokens_file, parts_of

SUFFIXES = (".pt", ".npy", ".npz", ".safetensors", ".parquet")
SNAPSHOT = "memberships.npz"
METADATA = "metadata.json"
ALLOWED = (
    "batch_<b>.pt, .pt, .npy, .npz, .safetensors, .parquet, a folder written by save_to_disk, a delphi cache "
    "(<module>/<first>_<last>.safetensors), or memberships.npz with metadata.json"
)


def folder_of_run(folder: str | Path, run: int) -> Path:
    """Return the folder of one run's files: `run_<r>/` if there are such folders, else the folder itself.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (Path(folder) / "run_1").mkdir()
        ...     folder_of_run(folder, 1).name
        'run_1'

    Raises:
        InputError: the folder does not exist, or other runs have a folder but this run has none.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError(
            "no such folder",
            file=folder,
            field="precomputed_activations_dir",
            allowed=f"a folder with {ALLOWED}",
        )
    numbers = sorted(
        int(match[1]) for place in folder.iterdir() if (match := re.fullmatch(r"run_(\d+)", place.name))
    )
    if not numbers:
        return folder
    if run not in numbers:
        raise InputError(
            "no folder for this run",
            file=folder,
            field="precomputed_activations_dir",
            found=f"run_{numbers[0]} to run_{numbers[-1]}",
            allowed=f"run_{run}/ too, fewer runs, or no run_<r>/ at all",
        )
    return folder / f"run_{run}"


def own_files(folder: str | Path, run: int = 0) -> list[Path]:
    """Return the batch files of one run, in the order of the numbers in their names.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("part_10.npy", "part_9.npy", "labels.txt"):
        ...         (Path(folder) / name).touch()
        ...     [path.name for path in own_files(folder)]
        ['part_9.npy', 'part_10.npy']

    Raises:
        InputError: the folder does not exist or contains no such files.
    """
    place = folder_of_run(folder, run)
    if (place / SNAPSHOT).is_file():
        return [place / SNAPSHOT]
    if is_saved_dataset(place) or cache_files(place):
        return [place]
    # a broken link is not skipped; reading it raises an error
    found = [file for file in place.iterdir() if file.suffix in SUFFIXES and not file.is_dir()]
    found = [file for file in found if not is_tokens_file(file)]
    found += [inner for inner in place.iterdir() if inner.is_dir() and is_saved_dataset(inner)]
    found += [inner / SNAPSHOT for inner in place.iterdir() if (inner / SNAPSHOT).is_file()]
    if not found:
        raise InputError(
            "no activations in this folder", file=place, field="precomputed_activations_dir", allowed=ALLOWED
        )
    return sorted(found, key=lambda file: _natural(file.relative_to(place).as_posix()))


def files_beside(files: list[Path]) -> list[Path]:
    """Return the files of labels, metadata and tokens of given files, and the files inside given folders.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (Path(folder) / "labels.txt").touch()
        ...     [path.name for path in files_beside([Path(folder) / "part_9.npy"])]
        ['labels.txt']
    """
    names = (*LABEL_FILES, METADATA)
    places = dict.fromkeys(
        place
        for file in files
        for place in ((file,) if file.is_dir() else ()) + (file.parent, file.parent.parent)
    )
    beside = [place / name for place in places for name in names if (place / name).is_file()]
    for folder in dict.fromkeys(file if file.is_dir() else file.parent for file in files):
        beside += sorted(file for file in folder.iterdir() if is_tokens_file(file))
    return beside + [part for file in files if file.is_dir() for part in parts_of(file)]


def batches_per_run(config: ClusteringRunConfig) -> int:
    """Return the number of batches of each run: those its merge uses, at most one per user-supplied file.

    Example:
        >>> batches_per_run(ClusteringRunConfig(model_path="m"))
        1

    Raises:
        InputError: there are no such files, or the settings do not determine the number.
    """
    needed = config.batches_needed()
    if config.precomputed_activations_dir is None:
        return needed
    return min(needed, len(own_files(config.precomputed_activations_dir)))


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]
