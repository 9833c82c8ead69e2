"""Text about which user-supplied files the runs of an ensemble read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spdclust.user_files.folders import RunFiles
from spdclust.user_files.layout import listed


def describe_runs(runs: Sequence[RunFiles]) -> list[str]:
    """Return which files the runs of an ensemble read, which they do not, and whether they share some.

    Example:
        >>> first = RunFiles(Path("a"), ((Path("a/x-0-of-2.npy"), Path("a/x-1-of-2.npy")),))
        >>> print("\\n".join(describe_runs([first, first])))
        every run reads 2 shards: x-0-of-2.npy, x-1-of-2.npy
        warning: runs 0 and 1 read the same files: runs that share samples cannot confirm each other
        >>> mask = (Path("b/mask.npy"), "named as a mask")
        >>> second = RunFiles(Path("b"), ((Path("b/x.npy"),),), ignored=(mask,))
        >>> print("\\n".join(describe_runs([first, second])))
        run 0 reads 2 shards: a/x-0-of-2.npy, a/x-1-of-2.npy
        run 1 reads b/x.npy
        not read: b/mask.npy (named as a mask)
    """
    several = len({found.folder for found in runs}) > 1
    lines = {}
    for run, found in enumerate(runs):
        prefix = f"{found.folder.name}/" if several else ""
        read = [
            # a folder that holds a batch may be that of the run
            _read([("" if file == found.folder else prefix) + found.name_of(file) for file in batch])
            for batch in found.batches
        ]
        lines[run] = read[0] if len(read) == 1 else f"{len(read)} batches: {listed(read)}"
    if len(runs) == 1:
        out = [f"reads {lines[0]}"]
    elif len(set(lines.values())) == 1:
        out = [f"every run reads {lines[0]}"]
    else:
        out = [f"run {run} reads {line}" for run, line in lines.items()]
    unused: dict[str, str] = {}
    used = {file for found in runs for file in found.files}
    for found in runs:
        for file, why in found.unused().items():
            if file not in used:
                name = found.name_of(file).removeprefix("../")
                is_below = file.is_relative_to(found.folder)
                unused[f"{found.folder.name}/{name}" if several and is_below else name] = why
    out += [f"not read: {line}" for line in by_reason(unused, 4)]
    return out + [f"warning: {line}" for line in _shared(runs)]


def by_reason(unused: Mapping[str, str], limit: int | None = None) -> list[str]:
    """Return unused files as text, one line for each reason.

    Example:
        >>> by_reason({"W.npy": "named as weights", "m.npy": "named as a mask", "b.npy": "named as weights"})
        ['W.npy, b.npy (named as weights)', 'm.npy (named as a mask)']

    Args:
        unused: reason by name.
        limit: number of names in a line; None for all.
    """
    names: dict[str, list[str]] = {}
    for name, reason in unused.items():
        names.setdefault(reason, []).append(name)
    return [f"{listed(files, limit or len(files))} ({reason})" for reason, files in names.items()]


def _shared(runs: Sequence[RunFiles]) -> list[str]:
    readers: dict[Path, list[int]] = {}
    for run, found in enumerate(runs):
        for file in found.files:
            readers.setdefault(file.resolve(), []).append(run)
    return [
        f"runs {', '.join(map(str, sharing[:-1]))} and {sharing[-1]} read the same files: "
        "runs that share samples cannot confirm each other"
        for sharing in dict.fromkeys(tuple(each) for each in readers.values() if len(each) > 1)
    ]


def _read(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} shards: {listed(names)}"
