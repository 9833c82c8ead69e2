"""Which files make up one batch of user-supplied activations: folders, shards, tokens, labels.

By names: only the `state.json` of a saved dataset is read.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, read_json

LABEL_FILES = ("labels.txt", "labels.json")
TOKEN_NAMES = ("tokens", "token_ids", "input_ids")
"""Names of tokens: of files, of arrays in a file, and of columns."""

RUN_FOLDER = re.compile(r"run_(\d+)")

_TOKEN_SUFFIXES = (".npy", ".json", ".pt")
_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
_SPLIT = re.compile(r"(\d+)_(\d+)\.safetensors")
_LIKE_A_RUN = re.compile(r"run[-_. ]?\d+|\d+", re.IGNORECASE)

SHARD = re.compile(r"(?P<stem>.*?)[-_.]?(?P<number>\d+)[-_.]of[-_.](?P<total>\d+)")
"""Name of a shard without its suffix: `<stem>-<number>-of-<total>`."""

CONVERSIONS = {
    ".csv": "numpy.save('x.npy', numpy.loadtxt('x.csv', delimiter=','))",
    ".tsv": "numpy.save('x.npy', numpy.loadtxt('x.tsv', delimiter='\\t'))",
    ".feather": "pandas.read_feather('x.feather').to_parquet('x.parquet')",
    ".arrow": "datasets.Dataset.from_file('x.arrow').save_to_disk('x')",
    ".h5": "numpy.save('x.npy', h5py.File('x.h5')['name'])",
    ".hdf5": "numpy.save('x.npy', h5py.File('x.hdf5')['name'])",
    ".zarr": "numpy.save('x.npy', zarr.open('x.zarr'))",
    ".mat": "numpy.save('x.npy', scipy.io.loadmat('x.mat')['name'])",
    ".mtx": "scipy.sparse.save_npz('x.npz', scipy.io.mmread('x.mtx'))",
    ".pkl": "numpy.save('x.npy', pandas.read_pickle('x.pkl'))",
    ".pickle": "numpy.save('x.npy', pandas.read_pickle('x.pickle'))",
    ".joblib": "numpy.save('x.npy', joblib.load('x.joblib'))",
    ".pth": "shutil.copy('x.pth', 'x.pt')",
}
"""By suffix, the line of Python that converts a file `x`."""


def parts_of(path: Path) -> list[Path]:
    """Return the files of one batch: the file itself, or those that are read of a folder.

    Example:
        >>> [path.name for path in parts_of(Path("latents.npy"))]
        ['latents.npy']

    Raises:
        InputError: a folder is damaged.
    """
    if not path.is_dir():
        return [path]
    return saved_files(path) if is_saved_dataset(path) else cache_files(path)


def is_saved_dataset(folder: Path) -> bool:
    """Return whether a folder was written by `save_to_disk`.

    Example:
        >>> is_saved_dataset(Path("src"))
        False
    """
    return (folder / _SPLITS).is_file() or all((folder / name).is_file() for name in (_STATE, _INFO))


def saved_files(folder: Path) -> list[Path]:
    """Return the files of a dataset that `save_to_disk` wrote, `state.json` first.

    Example:
        >>> state = '{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}'
        >>> _ = (folder / "state.json").write_text(state)
        >>> [path.name for path in saved_files(folder)]
        ['state.json', 'data-00000-of-00001.arrow']

    Raises:
        InputError: the folder holds several splits, or its `state.json` is damaged.
    """
    if (folder / _SPLITS).is_file():
        record = read_json(folder / _SPLITS, "splits of a dataset")
        raise InputError(
            "a dataset with splits",
            file=folder,
            found=record.get("splits") if isinstance(record, dict) else record,
            allowed="the folder of one split",
        )
    allowed = "as save_to_disk writes it"
    record = read_json(folder / _STATE, allowed)
    with as_input_error("names no data files", folder / _STATE, allowed):
        names = [str(each["filename"]) for each in record["_data_files"]]
        # a name with a folder in it could lead out of the dataset
        if not names or any(Path(name).name != name for name in names):
            raise InputError("names no data files", field="_data_files", found=names[:4], allowed=allowed)
        if record.get("_indices_files"):
            raise InputError(
                "rows in another order", field="_indices_files", allowed="none: flatten_indices()"
            )
    return [folder / _STATE, *(folder / name for name in names)]


def cache_files(folder: Path) -> list[Path]:
    """Return the files of a feature cache, or nothing if a folder is none.

    Example:
        >>> (folder / "layers.4.mlp").mkdir()
        >>> for name in ("10_19", "0_9"):
        ...     (folder / "layers.4.mlp" / f"{name}.safetensors").touch()
        >>> [path.name for path in cache_files(folder)]
        ['0_9.safetensors', '10_19.safetensors']
    """
    found = _splits(folder)
    if not found:
        entries = [entry for entry in folder.iterdir() if not re.match(r"\.|run_\d+$", entry.name)]
        # a cache of several modules has a folder for each
        found = [file for entry in entries if entry.is_dir() for file in _splits(entry)]
    return sorted(found, key=lambda file: natural(f"{file.parent.name}/{file.name}"))


def _splits(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*.safetensors") if _SPLIT.fullmatch(file.name)]


def is_tokens_file(path: Path) -> bool:
    """Return whether a file has the name of a file of tokens.

    Example:
        >>> [is_tokens_file(Path(name)) for name in ("tokens_0.npy", "token_ids.pt", "tokens.txt", "a.npy")]
        [True, True, False, False]
    """
    return (
        path.suffix in _TOKEN_SUFFIXES
        and re.fullmatch(rf"({'|'.join(TOKEN_NAMES)})([^a-zA-Z].*)?", path.stem) is not None
    )


def tokens_file(path: Path, matrices: Sequence[str]) -> Path | None:
    """Return the file with the tokens of an activations file: in its folder, with its numbers in the name.

    `tokens_3.npy` belongs to `part_3.npy`; `tokens.npy` to the only file of a folder.

    Example:
        >>> for name in ("part_0.npy", "part_1.npy", "tokens_0.npy", "tokens_1.npy"):
        ...     (folder / name).touch()
        >>> tokens_file(folder / "part_1.npy", [".npy"]).name
        'tokens_1.npy'

    Raises:
        InputError: there are several such files, or one without a number next to several activation files.
    """
    folder = path if path.is_dir() else path.parent
    visible = [file for file in folder.iterdir() if not file.name.startswith(".")]
    found = [file for file in visible if is_tokens_file(file) and file != path]
    numbers = () if path.is_dir() else _numbers(path)
    # the last numbers decide: `tokens_3` belongs to `layer_12_part_3`
    own = [file for file in found if (its := _numbers(file)) and its == numbers[-len(its) :]]
    if not own:
        own = [file for file in found if not _numbers(file)]
        others = [file for file in visible if file.suffix in matrices and not is_tokens_file(file)]
        if own and numbers and len(others) > 1:
            raise InputError(
                "tokens without a number next to several files",
                file=own[0],
                found=", ".join(file.name for file in others[:8]),
                allowed=f"one for each, with its number: {TOKEN_NAMES[0]}_{numbers[-1]}{own[0].suffix}",
            )
    if len(own) > 1:
        names = ", ".join(sorted(file.name for file in own))
        raise InputError("several files of tokens", file=path, found=names, allowed="one of them")
    return own[0] if own else None


def run_folders(folder: Path) -> dict[int, Path]:
    """Return the folder of each run by its number: `run_<r>`, also with leading zeros.

    Example:
        >>> for name in ("run_00", "run_01", "run_a"):
        ...     (folder / name).mkdir()
        >>> [(number, path.name) for number, path in run_folders(folder).items()]
        [(0, 'run_00'), (1, 'run_01')]

    Raises:
        InputError: two folders have the same number.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural(path.name)):
        if (match := RUN_FOLDER.fullmatch(path.name)) and path.is_dir():
            same = found.setdefault(int(match[1]), path)
            if same is not path:
                raise InputError(
                    "two folders of one run", file=path, found=f"also {same.name}", allowed="one of the two"
                )
    return found


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return the sorting key of a name in which numbers sort by value.

    Example:
        >>> sorted(["a10", "a9"], key=natural)
        ['a9', 'a10']
    """
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.stem))


def is_zipped_batch(path: Path) -> bool:
    """Return whether a file is a batch of the reference implementation, by its name.

    Example:
        >>> is_zipped_batch(Path("run_0/batch_0012.zip")), is_zipped_batch(Path("history.zip"))
        (True, False)
    """
    return re.fullmatch(r"batch_\d+\.zip", path.name) is not None


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
    # some writers count shards from 0, others from 1
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


def first_to_last(names: Sequence[str]) -> str:
    """Return a few names as text; of more, their number, the first and the last one.

    Example:
        >>> first_to_last(["a", "b"]), first_to_last(["a", "b", "c", "d", "e"])
        ('a, b', '5, a to e')
    """
    return ", ".join(names) if len(names) <= 4 else f"{len(names)}, {names[0]} to {names[-1]}"


def other_formats(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return the files and folders in a format that is not read, with the reason.

    Example:
        >>> paths = [Path(name) for name in ("a.h5", "notes.txt", "tokens.txt", "tokens.json")]
        >>> [(path.name, why) for path, why in other_formats(paths)]
        [('a.h5', 'a format that is not read'), ('tokens.txt', 'tokens are read from .npy, .json or .pt')]
    """
    found = [(path, "a format that is not read") for path in paths if path.suffix.lower() in CONVERSIONS]
    tokens = [path for path in paths if path.stem in TOKEN_NAMES and not is_tokens_file(path)]
    return found + [(path, "tokens are read from .npy, .json or .pt") for path in tokens if path.suffix]


def no_activations(
    folder: Path, ignored: Sequence[tuple[Path, str]], others: Sequence[Path], *, field: str, allowed: str
) -> InputError:
    """Return the error for a folder in which no file is read, with the line that converts the first one.

    Example:
        >>> error = no_activations(Path("a"), [], [Path("a/acts.mtx")], field="folder", allowed="acts.npz")
        >>> error.found, error.allowed
        ('acts.mtx', "acts.npz; to convert: scipy.sparse.save_npz('acts.npz', scipy.io.mmread('acts.mtx'))")
    """
    names = [f"{file.name} ({why})" for file, why in ignored] + [path.name for path in others]
    step = "; shards: <pattern> reads a file of any name" if ignored else ""
    for path in [path for path in others if path.suffix.lower() in CONVERSIONS][:1]:
        step += "; to convert: " + CONVERSIONS[path.suffix.lower()].replace("'x", f"'{path.stem}")
    misnamed = [path.name for path in others if _LIKE_A_RUN.fullmatch(path.name) and path.is_dir()]
    if misnamed:
        step += f"; the folder of a run is named run_<r>, such as run_0, not {misnamed[0]}"
    found = listed(names) or "no files"
    return InputError(
        "no activations in this folder", file=folder, field=field, found=found, allowed=allowed + step
    )
