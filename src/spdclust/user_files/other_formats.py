"""Formats of activations that are not read, each with the line that converts a file to one that is."""

from collections.abc import Sequence
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.user_files.layout import TOKEN_NAMES, is_tokens_file
from spdclust.user_files.shards import listed

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

    Args:
        folder: the folder.
        ignored: files that are not taken for activations, with the reason.
        others: everything else in the folder.
        field: the setting that names the folder.
        allowed: the files that are read.
    """
    names = [f"{file.name} ({why})" for file, why in ignored] + [path.name for path in others]
    step = "; shards: <pattern> reads a file of any name" if ignored else ""
    for path in [path for path in others if path.suffix.lower() in CONVERSIONS][:1]:
        step += "; to convert: " + CONVERSIONS[path.suffix.lower()].replace("'x", f"'{path.stem}")
    found = listed(names) or "no files"
    return InputError(
        "no activations in this folder", file=folder, field=field, found=found, allowed=allowed + step
    )
