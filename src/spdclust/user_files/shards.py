"""Recognise by name the files that are the shards of one batch."""

import re
from collections.abc import Sequence
from pathlib import Path

from spdclust.core.errors import InputError

SHARD = re.compile(r"(?P<stem>.*?)[-_.]?(?P<number>\d+)[-_.]of[-_.](?P<total>\d+)")
"""Name of a shard without its suffix: `<stem>-<number>-of-<total>`."""


def group_shards(files: Sequence[Path], shards: bool | str | None) -> tuple[tuple[Path, ...], ...]:
    """Return the files of each batch.

    Example:
        >>> files = [Path("a-1-of-2.npy"), Path("a-2-of-2.npy"), Path("b.npy")]
        >>> [[file.name for file in batch] for batch in group_shards(files, None)]
        [['a-1-of-2.npy', 'a-2-of-2.npy'], ['b.npy']]
        >>> [len(group_shards(files, shards)) for shards in (True, False)]
        [1, 3]

    Args:
        files: files of one run, in order.
        shards: False if each file is a batch; None if only names that end in `-<i>-of-<N>` form a batch;
            otherwise all files are the shards of one batch.

    Raises:
        InputError: a shard is missing, or there are two files for one shard.
    """
    if shards is False:
        return tuple((file,) for file in files)
    batches: dict[object, list[Path]] = {}
    sets: dict[tuple[Path, str, int], dict[int, Path]] = {}
    for file in files:
        match = SHARD.fullmatch(file.stem)
        if match is None:
            batches[file] = [file]
            continue
        key = (file.parent, match["stem"], int(match["total"]))
        batches.setdefault(key, []).append(file)
        same = sets.setdefault(key, {}).setdefault(int(match["number"]), file)
        if same is not file:
            raise InputError(
                "two files of one shard", file=file, found=f"also {same.name}", allowed="one of the two"
            )
    for (_, _, total), found in sets.items():
        _check_complete(total, found)
    return (tuple(files),) if shards else tuple(map(tuple, batches.values()))


def _check_complete(total: int, found: dict[int, Path]) -> None:
    first = 1 if 0 not in found and total in found else 0
    missing = [number for number in range(first, first + total) if number not in found]
    extra = [file for number, file in found.items() if not first <= number < first + total]
    example = next(iter(found.values()))
    if missing:
        match = SHARD.fullmatch(example.stem)
        assert match is not None
        start, end = match.span("number")
        width = end - start if match["number"].startswith("0") else 0
        names = [f"{example.name[:start]}{number:0{width}d}{example.name[end:]}" for number in missing]
        raise InputError(
            "a shard is missing" if len(missing) == 1 else f"{len(missing)} shards are missing",
            file=example.parent,
            field="precomputed_activations_dir",
            found=f"{len(found)} of {total}, without {listed(names)}",
            allowed=f"all {total}; or shards: false, if each file is a batch",
        )
    if extra:
        raise InputError(
            "more shards than the names state",
            file=extra[0],
            found=f"{len(found)} files",
            allowed=f"{total}, numbered from {first}",
        )


def listed(names: Sequence[str], limit: int = 4) -> str:
    """Return the first of several names as text, and the number of the others.

    Example:
        >>> listed(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
