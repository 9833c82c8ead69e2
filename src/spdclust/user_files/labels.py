"""Labels of user-supplied activations: a file next to the activations, or one folder up."""

import os
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import read_json, read_text
from spdclust.core.types import Labels
from spdclust.user_files.contents import ALLOWED_LABELS, as_labels, describe
from spdclust.user_files.layout import LABEL_FILES


def labels_beside(path: Path) -> tuple[Path, Labels] | None:
    """Return the file of labels next to activations or one folder up, and its labels; None if there is none.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "labels.txt").write_text("a:0\\na:1\\n")
        ...     labels_beside(Path(folder) / "x.npy")[1]
        ['a:0', 'a:1']

    Args:
        path: a file, or a folder that holds one batch.

    Raises:
        InputError: the file is not a list of labels.
    """
    above = [path.parent, path.parent.parent]
    if path.is_dir() and not path.parent.name.startswith("run_"):
        above.pop()  # the folder is that of all activations, or of a run
    for folder in [path, *above] if path.is_dir() else above:
        for name in LABEL_FILES:
            file = folder / name
            if os.path.lexists(file):  # a broken link raises an error below
                return file, _of_json(file) if file.suffix == ".json" else _of_lines(file)
    return None


def snapshot_labels(path: Path) -> Labels:
    """Return the labels in the `metadata.json` of a harvest snapshot.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "metadata.json").write_text('{"labels": ["a:0"]}')
        ...     snapshot_labels(Path(folder) / "metadata.json")
        ['a:0']

    Raises:
        InputError: the file is damaged or has no labels.
    """
    content = read_json(path, "the metadata of a snapshot")
    labels = as_labels(content.get("labels")) if isinstance(content, dict) else None
    if labels is None:
        raise InputError("no labels", file=path, field="labels", allowed=ALLOWED_LABELS)
    return labels


def _of_json(file: Path) -> Labels:
    content = read_json(file, ALLOWED_LABELS)
    labels = as_labels(content)
    if labels is None:
        kinds = {type(each).__name__ for each in content} if isinstance(content, list) else set()
        found = describe(content) + (f": {', '.join(sorted(kinds))}" if kinds else "")
        raise InputError("not a list of labels", file=file, found=found, allowed=ALLOWED_LABELS)
    return labels


def _of_lines(file: Path) -> Labels:
    # str.splitlines() would also split at U+2028, U+0085, \\v and \\f, which a label may contain
    lines = read_text(file, "one label a line").split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]
