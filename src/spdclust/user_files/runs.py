"""User-supplied files of the runs of an ensemble: whether their headers fit together, and each batch of them.

A batch is one file, or several shards whose samples follow each other. Headers are read without the data.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import digest_of
from spdclust.merge.activations import ActiveSets, ProcessedActivations
from spdclust.user_files.folders import RunFiles
from spdclust.user_files.layout import listed
from spdclust.user_files.matrices import (
    digest_of_user_file,
    open_user_file,
    read_user_file,
    read_with_tokens,
    tokens_of,
)
from spdclust.user_files.tokens import TokenTexts


@dataclass(frozen=True)
class UserHeader:
    """What a user-supplied file holds, according to its header.

    Attributes:
        whole_numbers: whether the values are integers or truth values; None if unknown.
        has_labels: whether the components have given labels, not generated ones; None if unknown.
        threshold: threshold of the sets of active components, of a batch without values.
        tokens: where the tokens of the samples are, if `check_all_runs` found any.
        columns: which columns of a table are read, and which are not; empty for other files.
    """

    path: Path
    n_samples: int
    n_components: int
    whole_numbers: bool | None
    has_labels: bool | None
    threshold: float | None = None
    tokens: str = ""
    columns: str = ""


def header_of_user_file(path: Path) -> UserHeader:
    """Return the shape of a user-supplied file, its kind of numbers, and whether it has labels.

    Example:
        >>> import numpy as np
        >>> path = folder / "attention_mask.npy"
        >>> np.save(path, np.ones((20, 25), dtype=np.int64))
        >>> header = header_of_user_file(path)
        >>> header.n_samples, header.n_components, header.whole_numbers, header.has_labels
        (20, 25, True, False)

    Raises:
        InputError: the file is missing, damaged or not a matrix, or labels next to it are of another number.
    """
    content = open_user_file(path, verify=False)
    # generated labels mean the same component of every run if the width is only that of the largest index
    has_labels = content.labels is not None or not content.states_width
    return UserHeader(
        path,
        content.n_samples,
        content.n_components,
        content.whole_numbers,
        has_labels,
        content.threshold,
        columns=content.columns,
    )


def _with_tokens(header: UserHeader) -> UserHeader:
    """Return a header that names the tokens of the samples, after comparing their number."""
    path = header.path
    file, tokens = tokens_of(open_user_file(path, verify=False), path, with_torch=False)
    if file is None:
        return header
    where = "in the file" if file == path else file.name
    return replace(header, tokens=where if tokens is not None else f"{where}, their number is not checked")


def check_one_run(found: RunFiles) -> list[UserHeader]:
    """Return the headers of the batches in a run's folder, unused ones included, after comparing them.

    Example:
        >>> import numpy as np
        >>> from spdclust.user_files.folders import files_of_run
        >>> np.save(f"{folder}/acts.npy", np.ones((9, 3)))
        >>> np.save(f"{folder}/other.npy", np.ones((9, 4)))
        >>> check_one_run(files_of_run(folder))
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...other.npy: number of columns differs from the other files (found: 4 columns,
        9 rows; allowed: 3 columns, as acts.npy has; else move the file away, or set shards: <pattern>)

    Raises:
        InputError: a file is damaged, not a matrix or empty, has another number of columns, or holds whole
            numbers while others hold fractions: a mask, token numbers, weights.
    """
    batches = [[header_of_user_file(file) for file in batch] for batch in (*found.batches, *found.spare)]
    headers = [header for batch in batches for header in batch]
    for batch in batches:
        if not sum(header.n_samples for header in batch) or not batch[0].n_components:
            raise InputError("no activations in this file", file=batch[0].path, found=_size(batch[0]))
    out = "else move the file away, or set shards: <pattern>"
    real = next((header for header in headers if header.whole_numbers is False), None)
    for header in headers:
        if real is not None and header.whole_numbers:
            raise InputError(
                "whole numbers next to real ones: a mask or token numbers?",
                file=header.path,
                found=f"integers, {_size(header)}",
                allowed=f"real numbers, as {real.path.name} has; {out}",
            )
    widths = Counter(header.n_components for header in headers)
    usual = widths.most_common(1)[0][0]  # of equally many the first
    first = next(header for header in headers if header.n_components == usual)
    for header in headers:
        if header.n_components != usual:
            raise InputError(
                "number of columns differs from the other files",
                file=header.path,
                found=_size(header, usual),
                allowed=f"{usual} columns, as {first.path.name} has; {out}",
            )
    return headers


def check_all_runs(runs: Sequence[RunFiles]) -> list[UserHeader]:
    """Return the headers of all runs' files, after comparing them within each run's folder and between runs.

    Those of files that a run reads name its tokens.

    Example:
        >>> import numpy as np
        >>> from spdclust.user_files.folders import files_of_run
        >>> np.save(f"{folder}/acts.npy", np.ones((9, 3)))
        >>> headers = check_all_runs([files_of_run(folder, run) for run in range(4)])
        >>> [(header.n_samples, header.n_components) for header in headers]
        [(9, 3)]

    Raises:
        InputError: as `check_one_run` and `check_same_width`; or there is not one token for each sample.
    """
    headers = [check_one_run(found) for found in dict.fromkeys(runs)]
    check_same_width([of_run[0] for of_run in headers])
    read = {file for found in runs for file in found.files}
    return [
        _with_tokens(header) if header.path in read else header for of_run in headers for header in of_run
    ]


def check_same_width(headers: Iterable[UserHeader]) -> None:
    """Check the number of components of several runs, if their labels are generated.

    Example:
        >>> first = UserHeader(Path("run_0/x.npy"), 400, 24, False, False)
        >>> check_same_width([first, UserHeader(Path("run_2/x.npy"), 24, 400, False, False)])
        Traceback (most recent call last):
        ...
        spdclust.InputError: run_2/x.npy: number of columns differs from other runs (found: 400 columns, 24
        rows, transposed?; allowed: 24 columns, as run_0/x.npy has, or labels for the components of each run)

    Raises:
        InputError: the numbers differ, and no labels tell which component is which.
    """
    first, *others = headers
    for header in others:
        if header.n_components != first.n_components and False in (header.has_labels, first.has_labels):
            raise InputError(
                "number of columns differs from other runs",
                file=header.path,
                found=_size(header, first.n_components),
                allowed=f"{first.n_components} columns, as {first.path} has, or labels for the components of "
                "each run",
            )


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
    out += [f"not read: {line}" for line in by_note(unused, 4)]
    return out + [f"warning: {line}" for line in _shared(runs)]


def describe_headers(headers: Sequence[UserHeader]) -> list[str]:
    """Return which files have tokens and where, and which columns of tables are read.

    Example:
        >>> first = UserHeader(Path("run_0/x.npy"), 400, 24, False, False, tokens="tokens.npy")
        >>> describe_headers([first, replace(first, path=Path("run_1/x.npy"))])
        ['tokens of run_0/x.npy, run_1/x.npy (tokens.npy)']
    """
    several = len({header.path.parent for header in headers}) > 1
    lines = []
    for field in ("tokens", "columns"):
        stated = {
            f"{header.path.parent.name}/{header.path.name}" if several else header.path.name: value
            for header in headers
            if (value := getattr(header, field))
        }
        lines += [f"{field} of {line}" for line in by_note(stated, 4)]
    return lines


def by_note(notes: Mapping[str, str], limit: int | None = None) -> list[str]:
    """Return names of files with a note on each as text, one line for each note.

    Example:
        >>> by_note({"W.npy": "named as weights", "m.npy": "named as a mask", "b.npy": "named as weights"})
        ['W.npy, b.npy (named as weights)', 'm.npy (named as a mask)']
    """
    names: dict[str, list[str]] = {}
    for name, note in notes.items():
        names.setdefault(note, []).append(name)
    return [f"{listed(files, limit or len(files))} ({note})" for note, files in names.items()]


def _size(header: UserHeader, expected: int | None = None) -> str:
    transposed = ", transposed?" if header.n_samples == expected else ""
    return f"{header.n_components} columns, {header.n_samples} rows{transposed}"


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


def read_user_batch(
    files: Sequence[str | Path], seed: int = 0, *, token_texts: TokenTexts | None = None
) -> ActivationBatch:
    """Read the files of one batch; the samples of its shards are concatenated in order.

    Example:
        >>> import numpy as np
        >>> shards = [folder / f"acts-{number}-of-2.npy" for number in range(2)]
        >>> for number, path in enumerate(shards):
        ...     np.save(path, np.full((2, 3), number + 1.0))
        >>> read_user_batch(shards).matrix.toarray()[:, 0].tolist()
        [1.0, 1.0, 2.0, 2.0]

    Raises:
        InputError: a file is missing, damaged or not a matrix, or the shards have different components or
            thresholds.
    """
    paths = [Path(file) for file in files]
    if len(paths) == 1:
        return read_user_file(paths[0], seed, token_texts=token_texts)
    read = [read_with_tokens(path, seed) for path in paths]
    first = read[0][0]
    tokens = [own for _, own in read if own is not None]
    for path, (shard, own) in zip(paths, read, strict=True):
        if shard.labels != first.labels:
            raise InputError(
                "shards have different components",
                file=path,
                field="labels",
                found=f"{shard.n_components} components",
                allowed=f"the {first.n_components} of {paths[0].name}",
            )
        if shard.threshold != first.threshold:
            raise InputError(
                "shards have different thresholds",
                file=path,
                field="threshold",
                found=shard.threshold,
                allowed=f"{first.threshold}, as {paths[0].name}",
            )
        if own is None and tokens:
            raise InputError(
                "no tokens for this shard",
                file=path,
                field="tokens",
                allowed="tokens for every shard of a batch, or for none",
            )
    matrix = sparse.vstack([shard.matrix for shard, _ in read], format="csr")
    joined = ProcessedActivations.from_sparse(matrix, first.labels, copy=False)
    if first.threshold is not None:
        joined = replace(joined, sets=_joined_sets([shard for shard, _ in read], first.threshold))
    batch = replace(
        first,
        activations=joined,
        maxima=first.maxima[:0],
        means=first.means[:0],
    )
    if not tokens:
        return batch
    return replace(batch, examples=tokens[0].followed_by(tokens[1:], paths[0]).examples(token_texts))


def _joined_sets(shards: Sequence[ActivationBatch], threshold: float) -> ActiveSets:
    """Return the statistics of all samples of several shards that hold no values."""
    some = [shard for shard in shards if shard.n_samples] or [shards[0]]
    sizes = [max(1, shard.n_samples) for shard in some]
    means = np.average([shard.means for shard in some], axis=0, weights=sizes)
    return ActiveSets(threshold, np.max([shard.maxima for shard in some], axis=0), means)


def digest_of_batch(files: Sequence[str | Path]) -> str:
    """Return one SHA-256 for the files of a batch, in hex: that of the only file, or one of all shards.

    Example:
        >>> path = folder / "a.npy"
        >>> _ = path.write_bytes(b"abc")
        >>> digest_of_batch([path])[:8], digest_of_batch([path, path])[:8] == digest_of_batch([path])[:8]
        ('ba7816bf', False)

    Raises:
        InputError: a file cannot be read.
    """
    digests = [digest_of_user_file(Path(file)) for file in files]
    return digests[0] if len(digests) == 1 else digest_of(*digests)
