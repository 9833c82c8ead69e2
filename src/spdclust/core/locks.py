"""Locks that a killed workflow left behind: released when whoever held them is surely gone.

Snakemake locks the files of a running workflow below `.snakemake/locks`, without saying who holds them. Each
running workflow therefore notes its process below `.snakemake/owners`, while it holds its locks.
"""

import json
import os
import socket
from pathlib import Path

_FOLDER = Path(".snakemake")


def note_owner(folder: Path = _FOLDER) -> None:
    """Note that this process runs a workflow in the working folder; call it once the locks are held.

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
    """Take this process's note away; call it when the workflow has ended.

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
    """Remove the locks of the working folder if all that ever held them were killed on this machine.

    Example:
        >>> import tempfile
        >>> release_dead_locks(Path(tempfile.mkdtemp()))
        False

    Returns:
        Whether locks were removed. They stay when an owner is alive, on another machine, or not known.
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
        # the same number can be another process by now; its start tells
        return bool(owner["boot"] != _boot() or _started(owner["process"]) != owner["started"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _boot() -> str:
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else ""


def _started(process: int) -> str | None:
    """Return when a process started, in clock ticks since boot; None when there is none of that number."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
