"""Provenance of an ensemble's files: its histories and the package version."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spdclust.core.version import __version__
from spdclust.files.archive import digest_of_file
from spdclust.files.histories import find_histories, run_names


def ensemble_record(histories: str | Path | Sequence[str | Path]) -> dict[str, Any]:
    """Return the package's version and the SHA-256 of every history, as plain JSON types.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "history_0.zip").write_bytes(b"abc")
        ...     record = ensemble_record([f"{folder}/history_0.zip"])
        >>> {name: digest[:8] for name, digest in record["histories"].items()}
        {'history_0': 'ba7816bf'}

    Args:
        histories: the ensemble's folder, or its histories.

    Raises:
        InputError: a history cannot be read.
    """
    paths = find_histories(histories) if isinstance(histories, (str, Path)) else list(map(Path, histories))
    digests = [digest_of_file(path) for path in paths]
    return {"spdclust": __version__, "histories": dict(zip(run_names(paths), digests, strict=True))}


def shared_values(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the entries that are equal in all records.

    Example:
        >>> shared_values([{"seed": 0, "code": "a"}, {"seed": 1, "code": "a"}])
        {'code': 'a'}
    """
    first, *others = records
    return {
        name: value
        for name, value in first.items()
        if all(json.dumps(each.get(name)) == json.dumps(value) for each in others)
    }
