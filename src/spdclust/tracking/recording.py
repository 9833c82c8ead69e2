"""The record of a merge under way, in the folder of its logs: what a history does not hold.

`record.jsonl` has one JSON object a line: first what the merge is, then, in the order of writing, stretches
of iterations (`first`, `n`, `seconds`, `memory_mb`) and, where the merge is logged to W&B, which rows of
`figures.f8` hold their figures, and which `state_<iteration>.npy` a sample of the matrices.
"""

import contextlib
import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.run import LoggingIntervals
from spdclust.core.errors import InputError
from spdclust.core.types import Labels
from spdclust.merge.view import MergeView
from spdclust.tracking.matrices import MergeSample
from spdclust.tracking.merge_record import FIGURES_NAME, FILE_NAME, read_line

log = logging.getLogger(__name__)


class MergeRecorder:
    """Writes down what happens in a merge; a disk that is full stops the record, never the merge.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recorder = MergeRecorder(Path(folder), {"seed": [0, 3]}, ["m:0", "m:1", "m:2"])
        ...     recorder.watch(0, {"names": np.array([[0, 1], [0, 2]])})
        ...     recorder.end()
        ...     lines = [json.loads(line) for line in Path(folder, FILE_NAME).read_text().splitlines()]
        >>> lines[0], list(lines[1]), lines[2]
        ({'identity': {'seed': [0, 3]}, 'labels': ['m:0', 'm:1', 'm:2']},
         ['first', 'n', 'seconds', 'memory_mb'], {'end': True})

    Args:
        folder: where the record goes.
        identity: what the merge is, plain JSON.
        labels: names of the components that are merged.
        intervals: how often matrices are described; None where nothing goes to W&B, and only the times of the
            iterations are kept.
        go_on: whether to add to a record that an interrupted merge of the same identity left.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        labels: Labels,
        intervals: LoggingIntervals | None = None,
        *,
        go_on: bool = False,
    ) -> None:
        self.folder = folder
        self.intervals = intervals
        self._works = True
        self._last = time.monotonic()
        with self._guarded():
            file = folder / FILE_NAME
            if not (go_on and _identity_in(file) == json.loads(json.dumps(dict(identity)))):
                folder.mkdir(parents=True, exist_ok=True)
                for old in [file, folder / FIGURES_NAME, *folder.glob("state_*.npy")]:
                    old.unlink(missing_ok=True)
                self._write({"identity": dict(identity), "labels": labels})

    def wants(self, iteration: int) -> bool:
        """Return whether the matrices are looked at after a merge."""
        at = self.intervals
        return at is not None and (iteration % at.tensor == 0 or iteration % at.plot == 0)

    def look(self, view: MergeView) -> None:
        """Write down what the matrices are like."""
        if self.intervals is None:
            return
        with self._guarded():
            name = f"state_{view.iteration}.npy"
            MergeSample.of(view).save(self.folder / name)
            self._write({"iteration": view.iteration, "state": name})

    def watch(self, first: int, figures: Mapping[str, np.ndarray]) -> None:
        """Write down a stretch of iterations."""
        now = time.monotonic()
        line: dict[str, Any] = {"first": first, "n": len(figures["names"]), "seconds": now - self._last}
        self._last = now
        line["memory_mb"] = memory_mb()
        with self._guarded():
            if self.intervals is not None:
                rows = np.column_stack(list(figures.values())).astype(np.float64)
                with (self.folder / FIGURES_NAME).open("ab") as file:
                    line["figures"] = {"at": file.tell(), "columns": list(figures), "shape": list(rows.shape)}
                    file.write(rows.tobytes())
            self._write(line)

    def end(self) -> None:
        """Write down that the merge is over."""
        with self._guarded():
            self._write({"end": True})

    def _write(self, line: Mapping[str, Any]) -> None:
        with (self.folder / FILE_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @contextlib.contextmanager
    def _guarded(self) -> Any:
        if not self._works:
            with contextlib.suppress(OSError):
                yield
            return
        try:
            yield
        except OSError as error:
            self._works = False
            log.warning(
                "%s: the record for W&B cannot be written (%s); the merge goes on. What is missing there is "
                "taken from the history later: spdclust wandb-sync <ensemble>",
                self.folder, error.strerror or error,
            )  # fmt: skip


def _identity_in(file: Path) -> Any:
    with contextlib.suppress(OSError, InputError), file.open("rb") as lines:
        return read_line(lines.readline(), file).get("identity")
    return None


def memory_mb() -> float:
    """Return the memory of this process, in MB: what it holds now, or its peak where that is not known.

    Example:
        >>> memory_mb() > 1
        True
    """
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
