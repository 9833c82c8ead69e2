"""Writing files so that nothing half-written ever carries a final name."""

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from spdclust.errors import InputError

_attempts = itertools.count()


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, renamed to it when the block ends well, removed otherwise.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_path(Path(folder) / "a.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     (Path(folder) / "a.txt").read_text(), len(os.listdir(folder))
        ('whole', 1)

    Raises:
        InputError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    path = Path(path)
    owner = f"{socket.gethostname()}-{os.getpid()}"
    temporary = path.with_name(f".{path.name}.tmp-{owner}-{next(_attempts)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_orphans(path)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(
            "cannot write",
            file=path,
            found=error.strerror or str(error),
            allowed="a writable folder with space",
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _remove_orphans(path: Path) -> None:
    """Remove temporary files that killed processes of this host left for `path`."""
    host = socket.gethostname()
    for orphan in path.parent.glob(f".{_escaped(path.name)}.tmp-{_escaped(host)}-*"):
        process = orphan.name.rsplit("-", 2)[1]
        if process.isdigit() and not Path(f"/proc/{process}").exists() and Path("/proc/self").exists():
            orphan.unlink(missing_ok=True)


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
