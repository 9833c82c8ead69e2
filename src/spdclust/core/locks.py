"""Release of stale locks left behind by a killed workflow.

Snakemake locks the files of a running workflow below `.snakemake/locks` without recording the owner. Each
running workflow therefore records its process below `.snakemake/owners` while it holds its locks.
"""

import json
import os
import socket
from pathlib import Path

_FOLDER = Path(".snakemake")


def note_owner(folder: Path = _FOLDER) -> None:
    """Record that this process runs a workflow in the working folder; call it after acquiring the locks.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     note_owner(Path(folder))
        ...     [note.stem == str(os.getpid()) for note in Path(folder).glob("owners/*.json")]
        [True]
    """
    owners = folder / "owners"
    owners.mkdir(parents=True, exist_ok=True)
    note = {
        "host": socket.gethostname(),
        "boot": _boot(),
        "process": os.getpid(),
        "started": _started(os.getpid()),
    }
    (owners / f"{os.getpid()}.json").write_text(json.dumps(note))


def forget_owner(folder: Path = _FOLDER) -> None:
    """Remove the record of this process; call it when the workflow has ended.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     note_owner(Path(folder))
        ...     forget_owner(Path(folder))
        ...     list(Path(folder).glob("owners/*.json"))
        []
    """
    (folder / "owners" / f"{os.getpid()}.json").unlink(missing_ok=True)


def release_dead_locks(folder: Path = _FOLDER) -> bool:
    """Remove the locks of the working folder if every recorded owner is a dead process on this host.

    Example:
        >>> import tempfile
        >>> release_dead_locks(Path(tempfile.mkdtemp()))
        False

    Returns:
        Whether locks were removed. They are kept if an owner is alive, on another machine, or unknown.
    """
    locks = list((folder / "locks").glob("*.lock"))
    notes = list((folder / "owners").glob("*.json"))
    if not locks or not notes or not all(_is_dead(note) for note in notes):
        return False
    for file in [*locks, *notes]:
        file.unlink(missing_ok=True)
    return True


def _is_dead(note: Path) -> bool:
    try:
        owner = json.loads(note.read_text())
        if owner["host"] != socket.gethostname():
            return False
        # process ids are reused; the start time identifies the process
        return bool(owner["boot"] != _boot() or _started(owner["process"]) != owner["started"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _boot() -> str:
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else ""


def _started(process: int) -> str | None:
    """Return the start time of a process in clock ticks since boot; None if there is no such process."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
