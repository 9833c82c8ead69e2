"""Files of an unfinished merge: its progress, and its state, from which an interrupted merge resumes.

`logs/…/merge/run_<r>.progress.jsonl` holds times and memory, which a history leaves out so that its bytes
stay the same. It has one JSON object a line: first which merge it is, then one line for each stretch of
iterations.
"""

import contextlib
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, exists, parse_json
from spdclust.core.types import Float, Labels
from spdclust.files.archive import digest_of, read_archive, write_archive
from spdclust.files.records import Count, Record, checked_record
from spdclust.files.zip_files import open_zip
from spdclust.merge.view import MergeView

log = logging.getLogger(__name__)

_CHECKPOINT = "merge checkpoint"
_CHECKPOINT_TEXTS = ("key.txt", "digest.txt")


class _Header(Record):
    merge: str
    n_merges: Count
    task: str | None = None


class _Stretch(Record):
    first: Count
    n: Count
    seconds: float
    memory_mb: float


def merge_digest(merge_config: Mapping[str, Any], seed: Any, batches: Any) -> str:
    """Return a digest of what determines a merge: settings, seed and the digests of its batches.

    Example:
        >>> merge_digest({"alpha": 1.0}, (0, 3), ["1f2e"]) == merge_digest({"alpha": 1.0}, [0, 3], ["1f2e"])
        True
    """
    return digest_of({"merge_config": dict(merge_config), "seed": _listed(seed), "batches": list(batches)})


def _listed(seed: Any) -> Any:
    return list(seed) if isinstance(seed, tuple) else seed


class ProgressRecorder:
    """Writes the progress of a merge; an observer of `stages.merge`. A full disk never stops the merge.

    Attributes:
        progress: what was written.
        labels: components of the merge; with `config`, `seed` and `resumed` (whether it goes on from a
            checkpoint) set when it begins.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._works = True
        self._last = time.monotonic()
        self.progress = MergeProgress()

    def begin(
        self,
        labels: Labels,
        merge_config: Mapping[str, Any],
        seed: tuple[int, ...],
        digests: list[str],
        made_from: list[dict[str, str]],
        *,
        go_on: bool = False,
    ) -> None:
        """Begin the file, or add to the one that the same merge left when it was interrupted."""
        self.labels, self.config, self.seed, self.resumed = labels, dict(merge_config), list(seed), go_on
        header: dict[str, Any] = {
            "merge": merge_digest(merge_config, seed, digests),
            "n_merges": MergeConfig.model_validate(dict(merge_config)).n_merges(len(labels)),
            "task": made_from[0].get("task") if made_from else None,
        }
        self._last = time.monotonic()
        before = load_progress(self._path) if go_on else MergeProgress()
        if before.merge == header["merge"]:
            self.progress = before
        else:
            self.progress = MergeProgress(**header)
            self._write(header, "w")

    def wants(self, iteration: int) -> bool:
        """Return whether the state after a merge is needed."""
        return False

    def look(self, view: MergeView) -> None:
        """Take the state after a merge."""

    def watch(self, first: int, figures: Mapping[str, np.ndarray]) -> None:
        """Add a stretch of iterations."""
        now = time.monotonic()
        stretch = {"first": first, "n": len(figures["names"]), "seconds": now - self._last}
        self._last = now
        self.progress.stretches.append(stretch | {"memory_mb": _process_mb()})
        self._write(self.progress.stretches[-1], "a")

    def end(self) -> None:
        """Take note that the history is written."""

    def _write(self, line: Mapping[str, Any], mode: str) -> None:
        if not self._works:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open(mode, encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            self._works = False
            log.warning(
                "%s: cannot write (%s); the merge continues; its times are not recorded",
                self._path, error.strerror or error,
            )  # fmt: skip


@dataclass
class MergeProgress:
    """The progress of a merge as far as it was written.

    Attributes:
        merge: `merge_digest` of the merge, empty where there is no file.
        n_merges: all merges that it will do.
        task: what the decomposed model does.
        stretches: `first` iteration, `n`umber of iterations, `seconds`, and `memory_mb` of the process.
    """

    merge: str = ""
    n_merges: int = 0
    task: str | None = None
    stretches: list[dict[str, Any]] = field(default_factory=list)

    @property
    def n_done(self) -> int:
        """Merges done so far."""
        return self.stretches[-1]["first"] + self.stretches[-1]["n"] if self.stretches else 0

    @property
    def per_second(self) -> float | None:
        """Merges per second in the last stretch."""
        last = self.stretches[-1] if self.stretches else {"seconds": 0}
        return last["n"] / last["seconds"] if last["seconds"] else None

    def per_iteration(self, n: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Return seconds and memory (MB) of `n` iterations, means of their stretch, NaN where not known."""
        seconds, memory = np.full(n, np.nan), np.full(n, np.nan)
        for line in list(self.stretches):
            at = slice(line["first"], line["first"] + line["n"])
            seconds[at] = line["seconds"] / max(line["n"], 1)
            memory[at] = line["memory_mb"]
        return seconds, memory


def load_progress(path: Path) -> MergeProgress:
    """Read the progress of a merge up to the first line that is damaged; empty where there is no file.

    Example:
        >>> load_progress(Path("no_such_file.progress.jsonl")).n_done
        0
    """
    progress = MergeProgress()
    with contextlib.suppress(OSError, InputError), path.open("rb") as file:
        for number, line in enumerate(file):
            with as_input_error("not a line of the progress of a merge", path, "JSON"):
                content = parse_json(line.decode())
            checked = checked_record(_Stretch if number else _Header, content, path)
            if number:
                progress.stretches.append(checked)
            else:
                progress = MergeProgress(checked["merge"], checked["n_merges"], checked.get("task"))
    return progress


def _process_mb() -> float:
    """Return the memory of this process, in MB: what it holds now, or its peak where that is not known."""
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _digest(members: Mapping[str, np.ndarray]) -> str:
    return digest_of(*(part for name in sorted(members) for part in (name, members[name])))


class MergeCheckpointFile:
    """A `CheckpointStore` in one file, valid only for the merge of the same batches by the same code.

    A file with another key is that of another merge, and not used.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "checkpoint.zip"
        >>> MergeCheckpointFile(path, "these batches").save({"n_done": np.array(3)})
        >>> MergeCheckpointFile(path, "these batches").load()
        {'n_done': array(3)}
        >>> MergeCheckpointFile(path, "other batches").load() is None
        True
    """

    def __init__(self, path: str | Path, key: str) -> None:
        self.path = Path(path)
        self.key = key

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the last saved arrays, or None if there are none with this key."""
        if not exists(self.path):
            return None
        try:
            with open_zip(self.path, _CHECKPOINT) as archive:
                names = [name for name in archive.namelist() if name.endswith(".npy")]
            members = read_archive(self.path, arrays=names, texts=_CHECKPOINT_TEXTS, kind=_CHECKPOINT)
            if members.pop("digest.txt") != _digest({name: members[name] for name in names}):
                raise InputError("checksum does not match: the file is damaged", file=self.path)
        except InputError as error:
            log.warning("%s; the merge starts from the beginning", error)
            return None
        if members.pop("key.txt") != self.key:
            log.warning("%s belongs to other batches; the merge starts from the beginning", self.path)
            return None
        log.info("resuming from %s", self.path)
        # arrays are read-only when loaded, but the engine changes them in place
        return {name.removesuffix(".npy"): np.array(array) for name, array in members.items()}

    def save(self, arrays: dict[str, np.ndarray]) -> None:
        """Replace the saved arrays with these.

        Raises:
            InputError: the file cannot be written.
        """
        members = {f"{name}.npy": np.asarray(array) for name, array in arrays.items()}
        write_archive(self.path, {"key.txt": self.key, "digest.txt": _digest(members), **members})

    def remove(self) -> None:
        """Remove the file after the merge is done."""
        self.path.unlink(missing_ok=True)
