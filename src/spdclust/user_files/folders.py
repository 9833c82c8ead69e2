"""Decide by file names which user-supplied files each run reads: no file is opened."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from spdclust.config.run import RUN_NUMBER, ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.user_files.layout import (
    LABEL_FILES,
    RUN_FOLDER,
    SHARD,
    cache_files,
    group_shards,
    is_saved_dataset,
    is_tokens_file,
    is_zipped_batch,
    listed,
    natural,
    no_activations,
    other_formats,
    parts_of,
    run_folders,
    tokens_file,
)

SUFFIXES = (".pt", ".npy", ".npz", ".safetensors", ".parquet")
SNAPSHOT = "memberships.npz"
METADATA = "metadata.json"
ALLOWED = (
    "batch_<b>.pt, batch_<b>.zip, .pt, .npy, .npz, .safetensors, .parquet, a folder written by save_to_disk, "
    "a delphi cache (<module>/<first>_<last>.safetensors), or memberships.npz with metadata.json"
)

OF_ANOTHER_RUN = "file of another run"
"""Reason for which the pattern of `shards` excludes a file that it gives to another run."""

_FIELD = "precomputed_activations_dir"
_OTHER_CONTENT = {
    "a mask": r"masks?",
    "token or position numbers": r"(token|input|position|sequence|doc)_?ids?",
    "weights": r"[wb]_(enc|dec|in|out|gate|skip|[euqkvo])|weights?|bias(es)?",
}


@dataclass(frozen=True)
class RunFiles:
    """The files that one run reads, and those next to them that it does not read.

    Attributes:
        folder: folder of the run's files.
        batches: the files of each batch, in order; several files are the shards of one batch.
        spare: further batches, which the merge does not need.
        ignored: files that are not activations of this run, with the reason.
    """

    folder: Path
    batches: tuple[tuple[Path, ...], ...]
    spare: tuple[tuple[Path, ...], ...] = ()
    ignored: tuple[tuple[Path, str], ...] = ()

    @property
    def files(self) -> list[Path]:
        """All files that the run reads."""
        return [file for batch in self.batches for file in batch]

    def needing(self, n_batches: int) -> "RunFiles":
        """Return the same with only the first batches in use.

        Example:
            >>> found = RunFiles(Path("a"), ((Path("a/x.npy"),), (Path("a/y.npy"),))).needing(1)
            >>> [file.name for file in found.files], found.unused()
            (['x.npy'], {PosixPath('a/y.npy'): 'the merge needs 1 batch a run'})
        """
        return replace(self, batches=self.batches[:n_batches], spare=self.batches[n_batches:] + self.spare)

    def unused(self) -> dict[Path, str]:
        """Return the reason for each unused file, see `user_files.runs.by_note`.

        Example:
            >>> RunFiles(Path("a"), (), ignored=((Path("a/mask.npy"), "named as a mask"),)).unused()
            {PosixPath('a/mask.npy'): 'named as a mask'}
        """
        n = len(self.batches)
        reason = f"the merge needs {n} batch{'es' if n > 1 else ''} a run"
        return dict(self.ignored) | {file: reason for batch in self.spare for file in batch}

    def name_of(self, file: Path) -> str:
        """Return the path of a file below the run's folder, or next to it.

        Example:
            >>> own = RunFiles(Path("a/run_0"), ())
            >>> own.name_of(Path("a/run_0/s2/memberships.npz")), own.name_of(Path("a/x.npy"))
            ('s2/memberships.npz', '../x.npy')
        """
        if file == self.folder:  # a folder that holds one batch
            return file.name
        return (
            file.relative_to(self.folder).as_posix()
            if file.is_relative_to(self.folder)
            else f"../{file.name}"
        )


def _run_files(config: ClusteringRunConfig, run: int = 0) -> RunFiles:
    """Return the user-supplied files that one run reads, by name.

    Hidden files are never read. Names that end in `-<i>-of-<N>` are the shards of one batch; `shards` in the
    run's settings states it for other names.
    """
    assert config.precomputed_activations_dir is not None
    found = files_of_run(config.precomputed_activations_dir, run, config.shards)
    used = config.batches_used(available=len(found.batches))
    if config.shards is None and used == 1 and len(found.batches) > 1 and not _named_as_batches(found):
        raise _ambiguous(found)
    return found.needing(used)


def files_of_run(folder: str | Path, run: int = 0, shards: bool | str | None = None) -> RunFiles:
    """Return all batches of one run that a folder holds, however many the merge needs.

    Example:
        >>> for name in ("part_10.npy", "part_9.npy", "labels.txt"):
        ...     (folder / name).touch()
        >>> [[file.name for file in batch] for batch in files_of_run(folder).batches]
        [['part_9.npy'], ['part_10.npy']]
        >>> [[file.name for file in batch] for batch in files_of_run(folder, shards=True).batches]
        [['part_9.npy', 'part_10.npy']]

    Raises:
        InputError: the folder does not exist or contains no activations, or a shard is missing.
    """
    location = _folder_of_run(folder, run)
    files = _candidates(location)
    above = [] if location == Path(folder).expanduser() else _candidates(location.parent)
    if isinstance(shards, str):
        pattern = RUN_NUMBER.sub(lambda match: f"{run:{(match[1] or '').removeprefix(':')}d}", shards)
        matching = [file for file in files if fnmatchcase(file.name, pattern)]
        of_any_run = RUN_NUMBER.sub("[0-9]*", shards)
        ignored = [
            (file, OF_ANOTHER_RUN if fnmatchcase(file.name, of_any_run) else f"does not match {shards}")
            for file in files
            if file not in matching
        ]
        if not matching:
            raise InputError(
                "no file matches the pattern",
                file=location,
                field="shards",
                found=listed([file.name for file in files]) or "no files",
                allowed=f"names such as {pattern}",
            )
    else:
        ignored = [(file, why) for file in files if (why := _other_content(file)) is not None]
        matching = [file for file in files if _other_content(file) is None]
    others = sorted(path for path in set(location.iterdir()).difference(files) if path.name[0] != ".")
    if not matching:
        raise no_activations(location, ignored, others, field=_FIELD, allowed=ALLOWED)
    if any(is_tokens_file(file) for file, _ in ignored):  # read with the activations that they belong to
        tokens = {tokens_file(file, SUFFIXES) for file in matching}
        ignored = [(file, why) for file, why in ignored if file not in tokens]
    if matching != [location]:  # a folder that holds one batch may have files of other kinds
        ignored += other_formats(others)
    ignored += [(file, "outside the folders run_<r>/") for file in above]
    return RunFiles(location, group_shards(matching, shards), ignored=tuple(ignored))


def files_of_runs(config: ClusteringRunConfig, runs: Sequence[int]) -> list[RunFiles]:
    """Return the user-supplied files of several runs, which have the same number of batches.

    Example:
        >>> (folder / "acts.npy").touch()
        >>> config = ClusteringRunConfig(precomputed_activations_dir=folder)
        >>> [[file.name for file in each.files] for each in files_of_runs(config, range(2))]
        [['acts.npy'], ['acts.npy']]

    Raises:
        InputError: as `_run_files`, or the runs have different numbers of batches.
    """
    found = [_run_files(config, run) for run in runs]
    for run, each in zip(runs, found, strict=True):
        if len(each.batches) != len(found[0].batches):
            raise InputError(
                f"run {run} has another number of batches",
                file=each.folder,
                field=_FIELD,
                found=len(each.batches),
                allowed=f"{len(found[0].batches)}, as run {runs[0]} has in {found[0].folder}",
            )
    return found


def _folder_of_run(folder: str | Path, run: int) -> Path:
    """Return the folder of one run's files: `run_<r>/` if there are such folders, else the folder itself.

    Raises:
        InputError: the folder does not exist, or other runs have a folder but this run has none.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise InputError(problem, file=folder, field=_FIELD, allowed=f"a folder with {ALLOWED}")
    folders = run_folders(folder)
    if not folders:
        return folder
    if run not in folders:
        n = len(folders)
        renamed = f"rename them to {listed([f'run_{number}' for number in range(n)])}"
        raise InputError(
            f"no folder run_{run}: runs are numbered from 0",
            file=folder,
            field=_FIELD,
            found=listed([location.name for location in folders.values()]),
            allowed=renamed if run < n else f"run_{run}/ too, n_runs: {n} at most, or no run_<r>/ at all",
        )
    return folders[run]


def files_beside(files: Sequence[Path]) -> list[Path]:
    """Return the files of labels, metadata and tokens of given files, and the files inside given folders.

    Example:
        >>> (folder / "labels.txt").touch()
        >>> [path.name for path in files_beside([folder / "part_9.npy"])]
        ['labels.txt']
    """
    names = (*LABEL_FILES, METADATA)
    locations = dict.fromkeys(
        location
        for file in files
        for location in ((file,) if file.is_dir() else ()) + (file.parent, file.parent.parent)
    )
    companions = [location / name for location in locations for name in names if (location / name).is_file()]
    for folder in dict.fromkeys(file if file.is_dir() else file.parent for file in files):
        companions += sorted(file for file in folder.iterdir() if is_tokens_file(file))
    return companions + [part for file in files if file.is_dir() for part in parts_of(file)]


def batches_per_run(config: ClusteringRunConfig, runs: Sequence[int] = (0,)) -> int:
    """Return the number of batches a run: those its merge uses, at most as many as user-supplied files make.

    Example:
        >>> batches_per_run(ClusteringRunConfig(model_path="m"), range(8))
        1

    Raises:
        InputError: as `files_of_runs`, or the settings do not determine the number.
    """
    if config.precomputed_activations_dir is None:
        return config.batches_needed()
    return len(files_of_runs(config, runs)[0].batches)


def run_numbers(folder: str | Path) -> list[int]:
    """Return the numbers of the folders `run_<r>/`, in order.

    Example:
        >>> run_numbers("tests")
        []
    """
    return list(run_folders(Path(folder).expanduser()))


def shared_by_all_runs(folder: str | Path, shards: bool | str | None = None) -> bool:
    """Return whether every run reads the same files: neither folders nor the pattern tell the runs apart.

    Example:
        >>> shared_by_all_runs("tests"), shared_by_all_runs("tests", "part_{run}.npy")
        (True, False)
    """
    by_name = isinstance(shards, str) and RUN_NUMBER.search(shards) is not None
    return not by_name and not run_numbers(folder)


def _candidates(location: Path) -> list[Path]:
    """Return the visible files of a supported kind, in the order of the numbers in their names."""
    if (location / SNAPSHOT).is_file():
        return [location / SNAPSHOT]
    with os.scandir(location) as entries:  # not iterdir: a file system call for each file would take long
        visible = {entry.name: entry.is_dir() for entry in entries if not entry.name.startswith(".")}
    if is_saved_dataset(location) or cache_files(location):
        return [location]
    # a broken link is not skipped; reading it raises an error
    files = [location / name for name, is_dir in visible.items() if not is_dir]
    found = [file for file in files if file.suffix in SUFFIXES or is_zipped_batch(file)]
    inner = [location / name for name, is_dir in visible.items() if is_dir and not RUN_FOLDER.fullmatch(name)]
    found += [path for path in inner if is_saved_dataset(path)]
    found += [path / SNAPSHOT for path in inner if (path / SNAPSHOT).is_file()]
    return sorted(found, key=lambda file: natural(file.relative_to(location).as_posix()))


def _other_content(file: Path) -> str | None:
    """Return the reason why a file cannot hold activations, judging by its name."""
    if file.name == SNAPSHOT:
        return None
    if is_tokens_file(file):
        return "named as tokens"
    shard = SHARD.fullmatch(file.stem)
    stem = (shard["stem"] if shard else file.stem).rstrip("0123456789").rstrip("-_.").lower()
    for content, words in _OTHER_CONTENT.items():
        if re.fullmatch(rf"(.*[-_.])?({words})", stem):
            return f"named as {content}"
    return "named as token numbers" if stem == "tokens" else None


def _named_as_batches(found: RunFiles) -> bool:
    return all(re.fullmatch(r"batch_\d+\.(pt|zip)", file.name) for file in found.files)


def _ambiguous(found: RunFiles) -> InputError:
    names = [found.name_of(batch[0]) for batch in found.batches]
    number = re.search(r"\d+(?=\D*$)", names[0])
    numbered = names[0] if number is None else names[0][: number.start()] + "{run}" + names[0][number.end() :]
    one_a_run = "" if number is None else f"; shards: {numbered!r}, one a run"
    return InputError(
        "cannot tell whether these files are batches or the shards of one batch",
        file=found.folder,
        field="shards",
        found=f"{len(names)} files: {listed(names)}",
        allowed="shards: true, the shards of one batch; shards: false, each is a batch (the merge needs one)"
        f"{one_a_run}; shards: <pattern>, only files of such names; or a folder run_<r>/ for each run",
    )
