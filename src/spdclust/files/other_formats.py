"""Formats of activations that are not read, each with the line that converts a file to one that is."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.files.own_shards import listed

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

NOT_READ = "a format that is not read"


def other_formats(paths: Iterable[Path]) -> list[Path]:
    """Return the files and folders in a format of activations that is not read.

    Example:
        >>> [path.name for path in other_formats([Path("a.h5"), Path("a.npy"), Path("notes.txt")])]
        ['a.h5']
    """
    return [path for path in paths if path.suffix.lower() in CONVERSIONS]


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
    for path in other_formats(others)[:1]:
        step += "; to convert: " + CONVERSIONS[path.suffix.lower()].replace("'x", f"'{path.stem}")
    found = listed(names) or "no files"
    return InputError(
        "no activations in this folder", file=folder, field=field, found=found, allowed=allowed + step
    )
