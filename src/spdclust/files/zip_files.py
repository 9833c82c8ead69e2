"""Zip archives: checks on damaged or hostile ones before a member is read; sizes out of members' headers."""

import contextlib
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, check_size, regular_file

_LONGEST_END = 22 + (1 << 16)
"""Size in bytes of the end record of an archive, with the longest possible comment."""
_TOO_MANY_TO_SAY = (1 << 16) - 1
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}


@contextlib.contextmanager
def open_zip(path: str | Path, kind: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose members are safe to read; convert exceptions while reading to `InputError`.

    Example:
        >>> with zipfile.ZipFile(f"{folder}/a.zip", "w") as archive:
        ...     archive.writestr("../a.npy", b"")
        >>> with open_zip(f"{folder}/a.zip", "history.zip") as archive:
        ...     pass
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...a.zip: ../a.npy: unusable name of a member (allowed: a whole
        history.zip)

    Raises:
        InputError: the file does not exist, is damaged or is not a zip, or a member is missing, encrypted,
            duplicated, or has a path outside the archive.
    """
    path = regular_file(path, f"a {kind}")
    with as_input_error(f"not a readable {kind}", path, f"a whole {kind}"), zipfile.ZipFile(path) as archive:
        _check_members(archive, path, kind)
        yield archive


def _check_members(archive: zipfile.ZipFile, path: Path, kind: str) -> None:
    # a file cut off in the middle may still end in a valid, shorter directory
    announced, listed = _announced_members(path), len(archive.infolist())
    if announced not in (listed, _TOO_MANY_TO_SAY):
        raise InputError(
            "members are missing",
            file=path,
            found=f"{listed} of {announced}",
            allowed=f"a whole {kind}",
        )
    seen: set[str] = set()
    for info in archive.infolist():
        name = info.filename
        problem = None
        if not name or name.startswith("/") or ".." in PurePosixPath(name).parts:
            problem = "unusable name of a member"
        elif name in seen:
            problem = "member given twice"
        elif info.flag_bits & 1:
            problem = "member is encrypted"
        elif info.compress_type not in _METHODS:
            problem = "unknown compression of a member"
        if problem is not None:
            raise InputError(problem, file=path, field=name or "''", allowed=f"a whole {kind}")
        seen.add(name)
        archive.open(info).close()  # compares the name with the one in the member's local header


def _announced_members(path: Path) -> int:
    """Return the number of members declared in the end record of an archive.

    The standard library ignores it, so a damaged list may hide members in the comment of another one.
    """
    with path.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - _LONGEST_END))
        end = stream.read()
    start = end.rfind(b"PK\5\6")
    return int.from_bytes(end[start + 10 : start + 12], "little")


def check_members_size(archive: zipfile.ZipFile, path: Path, names: Iterable[str]) -> None:
    """Raise an error if members would expand to more data than plausible for the file.

    Example:
        >>> path = folder / "a.zip"
        >>> with zipfile.ZipFile(path, "w") as archive:
        ...     archive.writestr("a.npy", b"123")
        ...     archive.getinfo("a.npy").file_size = 10**12  # as the list of a bomb would say
        ...     check_members_size(archive, path, ["a.npy"])
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...a.zip: a.npy: header declares more data than the file contains (...)

    Raises:
        InputError: the members would be too large.
    """
    infos = [archive.getinfo(name) for name in names]
    largest = max(infos, key=lambda info: info.file_size, default=None)
    if largest is not None:
        check_size(sum(info.file_size for info in infos), path, largest.filename)


def batch_shape(path: str | Path) -> tuple[int, int]:
    """Return the number of samples and of components of a `batch_<b>.pt`.

    Nothing is verified and nothing else is read; the merge does both.

    Example:
        >>> import numpy as np
        >>> from spdclust.files.batches import ActivationBatch
        >>> ActivationBatch.from_dense(np.eye(2, 3), ["m:0", "m:1", "m:2"]).save(f"{folder}/batch_0.pt")
        >>> batch_shape(f"{folder}/batch_0.pt")
        (2, 3)

    Raises:
        FileNotFoundError: no such file.
        InputError: the file is not an spdclust batch.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # tensors are numbered in the order of writing; the shape is the first
            first = next(info for info in archive.infolist() if info.filename.endswith("/data/0"))
            if first.file_size != 16:
                raise ValueError
            n_samples, n_components = struct.unpack("<qq", archive.read(first))
    except FileNotFoundError:
        raise
    except (OSError, zipfile.BadZipFile, StopIteration, ValueError, struct.error) as error:
        raise InputError(
            "not an activation batch", file=path, field="shape", allowed="a batch written by spdclust"
        ) from error
    return n_samples, n_components


def batch_entries(path: str | Path) -> int:
    """Return the number of entries of a `batch_<b>.pt`: its values other than 0, or the members of its sets.

    Example:
        >>> import numpy as np
        >>> from spdclust.files.batches import ActivationBatch
        >>> ActivationBatch.from_dense(np.eye(2, 3), ["m:0", "m:1", "m:2"]).save(f"{folder}/batch_0.pt")
        >>> batch_entries(f"{folder}/batch_0.pt")
        2

    Raises:
        FileNotFoundError: no such file.
        InputError: the file is not an spdclust batch.
    """
    index_bytes = 2 if batch_shape(path)[1] <= 2**16 else 4
    with zipfile.ZipFile(path) as archive:
        # the third tensor, after the shape and the starts of the rows
        sizes = [info.file_size for info in archive.infolist() if info.filename.endswith("/data/2")]
    return sizes[0] // index_bytes if sizes else 0


def history_length(path: str | Path) -> int:
    """Return the number of merges in a `history.zip`; 0 if it cannot be determined.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> from spdclust.files.histories import save_merge_history
        >>> save_merge_history(example_history(), f"{folder}/history.zip")
        >>> history_length(f"{folder}/history.zip")
        11

    Raises:
        FileNotFoundError: no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # a header of 128 bytes, then two int32 per merge
            return max(0, archive.getinfo("selected_pairs.npy").file_size - 128) // 8
    except FileNotFoundError:
        raise
    except (OSError, zipfile.BadZipFile, KeyError):
        return 0
