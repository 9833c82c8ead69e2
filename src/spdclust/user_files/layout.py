"""Which files make up one batch of user-supplied activations: folders that hold one batch, tokens, labels.

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

_TOKEN_SUFFIXES = (".npy", ".json", ".pt")
_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
_SPLIT = re.compile(r"(\d+)_(\d+)\.safetensors")


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
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     state = '{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}'
        ...     _ = (Path(folder) / "state.json").write_text(state)
        ...     [path.name for path in saved_files(Path(folder))]
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
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (Path(folder) / "layers.4.mlp").mkdir()
        ...     for name in ("10_19", "0_9"):
        ...         (Path(folder) / "layers.4.mlp" / f"{name}.safetensors").touch()
        ...     [path.name for path in cache_files(Path(folder))]
        ['0_9.safetensors', '10_19.safetensors']
    """
    found = _splits(folder)
    if not found:
        places = [place for place in folder.iterdir() if not re.match(r"\.|run_\d+$", place.name)]
        found = [file for place in places if place.is_dir() for file in _splits(place)]
    return sorted(found, key=lambda file: natural(f"{file.parent.name}/{file.name}"))


def _splits(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*.safetensors") if _SPLIT.fullmatch(file.name)]


def is_tokens_file(path: Path) -> bool:
    """Return whether a file's name says that it holds tokens.

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
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("part_0.npy", "part_1.npy", "tokens_0.npy", "tokens_1.npy"):
        ...         (Path(folder) / name).touch()
        ...     tokens_file(Path(folder) / "part_1.npy", [".npy"]).name
        'tokens_1.npy'

    Args:
        path: the activations.
        matrices: suffixes of activation files.

    Raises:
        InputError: there are several such files, or one without a number next to several activation files.
    """
    folder = path if path.is_dir() else path.parent
    visible = [file for file in folder.iterdir() if not file.name.startswith(".")]
    found = [file for file in visible if is_tokens_file(file) and file != path]
    numbers = () if path.is_dir() else _numbers(path)
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
