"""Labels of user-supplied activations: a file next to the activations, or one folder up."""

import os
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.core.opening import read_json, read_text
from spdclust.core.types import Labels
from spdclust.files.own_contents import are_texts, describe
from spdclust.files.own_layout import LABEL_FILES

_ALLOWED = "a list with one text or one integer per component"


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
    for folder in (path, path.parent) if path.is_dir() else (path.parent, path.parent.parent):
        for name in LABEL_FILES:
            file = folder / name
            if os.path.lexists(file):  # a broken link raises an error below
                return file, _of_json(file) if file.suffix == ".json" else _of_lines(file)
    return None


def snapshot_labels(path: Path) -> Labels:
    """Return the labels in the `metadata.json` of a harvest snapshot.

    Raises:
        InputError: the file is damaged or has no labels.
    """
    content = read_json(path, "the metadata of a snapshot")
    labels = content.get("labels") if isinstance(content, dict) else None
    if not are_texts(labels):
        raise InputError(
            "no labels", file=path, field="labels", allowed="a list with one label per component"
        )
    return list(labels)


def _of_json(file: Path) -> Labels:
    content = read_json(file, "a list of labels")
    if isinstance(content, list) and content and all(type(label) is int for label in content):
        return [str(label) for label in content]
    if not are_texts(content):
        odd = (
            next((each for each in content if not isinstance(each, str)), None)
            if isinstance(content, list)
            else None
        )
        found = describe(content) + ("" if not isinstance(content, list) else f", among them {odd!r}")
        raise InputError("not a list of labels", file=file, found=found, allowed=_ALLOWED)
    return list(content)


def _of_lines(file: Path) -> Labels:
    # str.splitlines() would also split at U+2028, U+0085, \\v and \\f, which a label may contain
    lines = read_text(file, "one label a line").split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]
