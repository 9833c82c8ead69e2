"""Follow a merge under way from a process of its own: W&B can neither slow the merge down nor stop it.

The merge writes its record (`recording`) and, once it has taken `LIVE_AFTER_SECONDS`, starts
`python -m spdclust.tracking.live <job>`, which reads the record while it grows and logs it. A shorter merge
is over before anyone could look: it is logged from its history (`members.log_member`), with the same result.
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.core.opening import read_json
from spdclust.core.types import Labels
from spdclust.files.histories import load_merge_history
from spdclust.merge.groups import pairs_from_names
from spdclust.merge.history import MergeHistory
from spdclust.merge.view import MergeView
from spdclust.tracking.members import Member, begin, identity_of, made_of, source_of
from spdclust.tracking.merge_record import FILE_NAME, MergeRecord, read_line
from spdclust.tracking.merges import MergeLog
from spdclust.tracking.naming import member_id
from spdclust.tracking.notes import close, next_id, target_of
from spdclust.tracking.recording import MergeRecorder

log = logging.getLogger(__name__)

LIVE_AFTER_SECONDS = 10.0
"""Merges that take less are logged when they are over."""

WAIT_SECONDS = 120.0
"""How long a finished merge waits for the rest of its record to be logged."""

POLL_SECONDS = 2.0
"""How often the record is looked at."""

_NICE = 10


class MergeFollower:
    """What a merge tells of itself while it is under way; an observer of `stages.merge`.

    Example:
        >>> from spdclust.tracking.merge_record import load_record
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     follower = MergeFollower(Path(folder))
        ...     follower.begin(["m:0", "m:1"], {"alpha": 1.0}, (0, 3), ["1f2e"], [], go_on=False)
        ...     follower.watch(0, {"names": np.array([[0, 1]])})
        ...     follower.end()
        ...     record = load_record(Path(folder))
        >>> record.identity["seed"], record.ended
        ([0, 3], True)

    Args:
        folder: where the record goes.
        member: which merge is logged; None keeps the times of the iterations and logs nothing.
        live_after: seconds after which the process that logs is started; None never does.
        then: called when the merge is over.
    """

    def __init__(
        self,
        folder: Path,
        member: Member | None = None,
        *,
        live_after: float | None = LIVE_AFTER_SECONDS,
        then: Callable[[], None] | None = None,
    ) -> None:
        self._folder = folder
        self._member = member
        self._live_after = live_after if member is not None else None
        self._then = then
        self._recorder: MergeRecorder | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._start = time.monotonic()

    def begin(
        self,
        labels: Labels,
        merge_config: Mapping[str, Any],
        seed: tuple[int, ...],
        digests: list[str],
        made_from: list[dict[str, str]],
        *,
        go_on: bool,
    ) -> None:
        """Take note of what is about to be merged."""
        task = made_from[0].get("task") if made_from else None
        identity = identity_of(merge_config, list(seed), digests, task)
        intervals = self._member.settings.intervals if self._member is not None else None
        self._recorder = MergeRecorder(self._folder, identity, labels, intervals, go_on=go_on)
        self._start = time.monotonic()

    def wants(self, iteration: int) -> bool:
        """Return whether the state after a merge is looked at."""
        return self._recorder is not None and self._recorder.wants(iteration)

    def look(self, view: MergeView) -> None:
        """Look at the state after a merge."""
        if self._recorder is not None:
            self._recorder.look(view)

    def watch(self, first: int, figures: Mapping[str, np.ndarray]) -> None:
        """Take note of a stretch of iterations."""
        if self._recorder is None:
            return
        self._recorder.watch(first, figures)
        late = self._live_after is not None and time.monotonic() - self._start >= self._live_after
        if late and self._process is None:
            self._live_after = None  # tried once
            self._process = self._started()

    def end(self) -> None:
        """Take note that the history is written, and wait for what is logged, but not for ever."""
        if self._recorder is not None:
            self._recorder.end()
        if self._then is not None:
            self._then()
        if self._process is None:
            return
        try:
            code = self._process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            code = None
        if code != 0:
            log.warning(
                "W&B did not take the record of this merge%s; again with: spdclust wandb-sync <ensemble>",
                f" within {WAIT_SECONDS:.0f} s" if code is None else "",
            )

    def _started(self) -> "subprocess.Popen[bytes] | None":
        assert self._member is not None
        try:
            handle, job = tempfile.mkstemp(prefix="spdclust_", suffix=".json")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(self._member.to_json(), file)
            # without a terminal, so that nothing can ask for a login
            return subprocess.Popen(
                [sys.executable, "-m", "spdclust.tracking.live", job], stdin=subprocess.DEVNULL
            )
        except OSError as error:
            log.warning(
                "W&B cannot be started (%s); the merge goes on, log it later: spdclust wandb-sync", error
            )
            return None


class RecordReader:
    """Reads a record while it grows.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recorder = MergeRecorder(Path(folder), {"seed": [0, 3]}, ["m:0", "m:1", "m:2"])
        ...     reader = RecordReader(Path(folder))
        ...     reader.read()
        ...     before = len(reader.record.stretches)
        ...     recorder.watch(0, {"names": np.array([[0, 1], [0, 2]])})
        ...     reader.read()
        >>> before, len(reader.record.stretches)
        (0, 1)

    Args:
        folder: of the record.
    """

    def __init__(self, folder: Path) -> None:
        self.record = MergeRecord()
        self._folder = folder
        self._read = 0

    def read(self) -> None:
        """Take in the whole lines that were added since.

        Raises:
            InputError: one of them is not a line of a record.
        """
        with (self._folder / FILE_NAME).open("rb") as file:
            file.seek(self._read)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            self.record.add(read_line(line, self._folder / FILE_NAME), self._folder)


def partial_history(record: MergeRecord) -> MergeHistory:
    """Return a merge as far as its record says.

    Example:
        >>> from spdclust.config.run import LoggingIntervals
        >>> from spdclust.example_ensemble import MERGE, example_activations
        >>> from spdclust.merge.merging import merge_iteration
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     activations, identity = example_activations(), {"merge_config": MERGE.resolved()}
        ...     recorder = MergeRecorder(Path(folder), identity, activations.labels, LoggingIntervals())
        ...     whole = merge_iteration(activations, MERGE, seed=0, watch=recorder.watch)
        ...     reader = RecordReader(Path(folder))
        ...     reader.read()
        ...     so_far = partial_history(reader.record)
        >>> np.array_equal(so_far.selected_pairs, whole.selected_pairs), int(so_far.k_groups[-1])
        (True, 1)

    Args:
        record: with the figures of iterations, as a merge that is logged writes it.
    """
    figures = record.figures()
    identity = record.identity or {}
    names = figures.pop("names", np.zeros((0, 2), dtype=np.int64)).astype(np.int64).reshape(-1, 2)
    mdl, cost = (figures.pop(name, np.zeros(0)) for name in ("mdl_loss", "merge_pair_cost"))
    return MergeHistory(
        labels=record.labels,
        selected_pairs=pairs_from_names(names, len(record.labels)),
        mdl_loss=mdl,
        merge_pair_cost=cost,
        config=MergeConfig.model_validate(identity["merge_config"]),
        records=figures,
    )


def _follow(member: Member) -> bool:
    """Log a merge while its record grows, until it is over; return whether all of it was logged.

    Args:
        member: which merge.
    """
    reader, parent = RecordReader(member.record), os.getppid()
    reader.read()
    identity = reader.record.identity or {}
    wanted = member_id(member.ensemble, member.run, made_of(identity))
    run_id, times = next_id(member.note, wanted, again=False)
    tracker = begin(member, run_id, identity)
    record = reader.record
    rows = MergeLog(tracker, run_id, member.settings.intervals, record.sample)
    pause = POLL_SECONDS
    while not record.ended and os.getppid() == parent:
        began = time.monotonic()
        reader.read()
        history = partial_history(record)
        rows.log(history, *record.per_iteration(history.n_iterations))
        # the figures of all iterations are computed again each time: at most a tenth of the time
        pause = max(POLL_SECONDS, 10 * (time.monotonic() - began))
        deadline = time.monotonic() + pause
        while time.monotonic() < deadline and not record.ended and os.getppid() == parent:
            time.sleep(0.2)
            if _has_ended(member.record):
                reader.read()
    whole: MergeHistory | None = None
    if record.ended:
        with contextlib.suppress(InputError):
            whole = load_merge_history(member.history)
    if whole is None:  # the merge failed or was killed
        tracker.finish()
        return False
    seconds, memory = record.per_iteration(whole.n_iterations)
    rows.log(whole, seconds, memory)
    rows.end(whole, member.history, seconds)
    source, target = source_of(whole), target_of(member.settings)
    return close(tracker, member.note, run_id, source, target, times).complete


def _has_ended(folder: Path) -> bool:
    with (folder / FILE_NAME).open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 32))
        return b'"end"' in file.read()


def main(arguments: list[str]) -> int:
    """Follow the merge that a job file describes; the file is removed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    job = Path(arguments[0])
    member = Member.from_json(read_json(job, "a job that a merge wrote"))
    job.unlink(missing_ok=True)
    os.nice(_NICE)  # the merge comes first
    try:
        return 0 if _follow(member) else 1
    except InputError as error:
        log.warning("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
