"""Notes of what was logged, and as which W&B run: nothing is logged twice unless someone asks for it."""

import contextlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from spdclust.config.tracking import TrackingSettings
from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.core.opening import read_text
from spdclust.tracking.client import WandbTracker
from spdclust.tracking.tracker import Tracker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Note:
    """What was logged, and as which W&B run.

    Attributes:
        run_id: id of the W&B run.
        source: digest of what it was made from.
        target: project and entity.
        complete: whether all of it was recorded.
        folder: where W&B keeps it on this machine.
        offline: whether it is still to be sent.
        times: how often this was logged.
    """

    run_id: str
    source: str
    target: str
    complete: bool
    folder: str = ""
    offline: bool = False
    times: int = 1

    def save(self, path: Path) -> None:
        """Write the note.

        Raises:
            InputError: the file cannot be written.
        """
        write_text(path, json.dumps(self.__dict__, indent=1) + "\n")


def load_note(path: Path) -> Note | None:
    """Return a note, None where there is none that can be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "run_0.json"
        ...     load_note(path) is None
        ...     Note("demo-run_0-1f2e", source="ab", target="me/mine", complete=True).save(path)
        ...     load_note(path).run_id
        True
        'demo-run_0-1f2e'
    """
    # what pydantic and InputError raise are ValueErrors both
    with contextlib.suppress(ValueError):
        return TypeAdapter(Note).validate_json(read_text(path, "a note of what was logged"), strict=True)
    return None


def already_logged(path: Path, source: str, target: str, *, again: bool) -> Note | None:
    """Return the note of what was logged from the same source to the same place, and say so.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "run_0.json"
        ...     Note("demo-run_0-1f2e", source="ab", target="me/mine", complete=True).save(path)
        ...     already_logged(path, "ab", "me/mine", again=False).run_id
        ...     already_logged(path, "cd", "me/mine", again=False) is None  # something else
        'demo-run_0-1f2e'
        True
    """
    note = load_note(path)
    if again or note is None or not note.complete or (note.source, note.target) != (source, target):
        return None
    if note.offline and Path(note.folder).is_dir():
        log.warning("%s is recorded, and is still to be sent: `wandb sync %s`", note.run_id, note.folder)
    else:
        log.info("logged already as %s (--again logs it once more)", note.run_id)
    return note


def next_id(path: Path, run_id: str, *, again: bool) -> tuple[str, int]:
    """Return the id to log under, with a number where that id was used before, and how often that makes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "run_0.json"
        ...     next_id(path, "demo-run_0-1f2e", again=True)
        ...     Note("demo-run_0-1f2e", source="ab", target="me/mine", complete=True).save(path)
        ...     next_id(path, "demo-run_0-1f2e", again=True)
        ('demo-run_0-1f2e', 1)
        ('demo-run_0-1f2e-2', 2)

    Args:
        path: the note of what was logged before.
        run_id: the id wanted.
        again: whether something else is logged under the same id.
    """
    note = load_note(path)
    if note is None or not (note.run_id == run_id or note.run_id.startswith(f"{run_id}-")):
        return run_id, 1
    # what broke off is tried again under its id, where nothing of it was sent
    times = note.times + 1 if again or note.complete or not note.offline else note.times
    return (run_id if times == 1 else f"{run_id}-{times}"), times


def close(tracker: Tracker, path: Path, run_id: str, source: str, target: str, times: int) -> Note:
    """End a W&B run and note what was logged.

    Example:
        >>> import tempfile
        >>> from spdclust.tracking.tracker import NoTracker
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "run_0.json"
        ...     note = close(NoTracker(), path, "demo-run_0-1f2e", "ab", "me/mine", times=1)
        ...     load_note(path) == note, note.complete
        (True, False)
    """
    complete = tracker.finish()
    folder = str(tracker.folder) if isinstance(tracker, WandbTracker) else ""
    offline = tracker.offline if isinstance(tracker, WandbTracker) else True
    note = Note(run_id, source, target, complete, folder, offline, times)
    try:
        note.save(path)
    except InputError as error:
        log.warning("%s; the same would be logged again", error)
    if complete and offline:
        log.warning("W&B is offline: %s is recorded; send it with `wandb sync %s`", run_id, folder)
    return note


def target_of(settings: TrackingSettings) -> str:
    """Return where records go, as notes name it.

    Example:
        >>> target_of(TrackingSettings(project="p", entity="e"))
        'e/p'
    """
    return f"{settings.entity or ''}/{settings.project}"
