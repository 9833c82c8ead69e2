"""Activations of a user-supplied file that is open: their size, and how their samples are read."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import check_size
from spdclust.core.types import Labels
from spdclust.files.archive import array_header, read_archive
from spdclust.files.sparse_parts import check_indices
from spdclust.files.zip_files import open_zip
from spdclust.merge.rows import NUMBERS_AT_ONCE, dense_rows, flattened, is_sparse, sparse_rows
from spdclust.user_files.tokens import OwnTokens

ALLOWED = (
    "(…, components) of numbers: one array, `activations` (with `labels` and `tokens`), {module: array}, "
    "`indices` with `values`, or `locations` with `activations`; remove or rename other arrays"
)
ALLOWED_LABELS = "a list with one text or one integer per component"

_BYTES_OF_LABEL = 100


@dataclass(frozen=True)
class OwnContent:
    """Activations of a file that is open.

    Attributes:
        n_samples: number of samples.
        n_components: number of components; if `states_width` is False, one more than the largest index.
        rows: read the samples as sparse rows.
        labels: names of the components, if the file has any.
        modules: number of components of each module, if the file names modules.
        tokens: the token of each sample, if the file has them.
        states_width: whether the file states the number of components.
        whole_numbers: whether the values are integers or truth values, as in a mask; None if unknown.
        is_batch: whether it is a batch written by spdclust.
    """

    n_samples: int
    n_components: int
    rows: Callable[[], sparse.csr_array]
    labels: Labels | None = None
    modules: Mapping[str, int] | None = None
    tokens: OwnTokens | None = None
    states_width: bool = True
    whole_numbers: bool | None = None
    is_batch: bool = False

    @property
    def generated_labels(self) -> Labels:
        """Labels `<module>:<index>`, for activations without any."""
        modules = self.modules or {"latent": self.n_components}
        return [f"{name}:{number}" for name, width in modules.items() for number in range(width)]

    def widened(self, n_components: int) -> "OwnContent":
        """Return the same activations with more components, which are never active.

        Example:
            >>> content = matrix_content(np.array([[0.0, 0.5]]), Path(__file__))
            >>> content.widened(3).rows().toarray().tolist()
            [[0.0, 0.5, 0.0]]
        """

        def rows() -> sparse.csr_array:
            narrow = self.rows()
            parts = narrow.data, narrow.indices, narrow.indptr
            return sparse.csr_array(parts, shape=(self.n_samples, n_components))

        return replace(self, n_components=n_components, rows=rows, states_width=True)


@dataclass(frozen=True)
class ZippedArray:
    """A dense array in a `.npz`, read in pieces.

    Attributes:
        path: the archive.
        name: name of the array, without `.npy`.
        shape: shape of the array.
        dtype: type of its numbers.
        fortran_order: whether columns follow each other, so that it is read as a whole.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(
            read_archive(self.path, arrays=[f"{self.name}.npy"])[f"{self.name}.npy"], dtype=dtype
        )

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the samples, some at a time."""
        n_rows, n_columns = flattened(self.shape)
        if self.fortran_order or n_columns == 0:
            yield np.asarray(self).reshape(n_rows, n_columns)
            return
        with open_zip(self.path, "matrix") as archive, archive.open(f"{self.name}.npy") as stream:
            array_header(stream)
            at_once = max(1, NUMBERS_AT_ONCE // n_columns) * n_columns * self.dtype.itemsize
            while data := stream.read(at_once):  # to the end, where the checksum is verified
                yield np.frombuffer(data, self.dtype).reshape(-1, n_columns)


def matrix_content(matrix: Any, path: Path) -> OwnContent:
    """Return the activations of one dense or sparse matrix or tensor.

    Example:
        >>> content = matrix_content(np.zeros((2, 3, 4)), Path(__file__))
        >>> content.n_samples, content.n_components, content.rows().shape
        (6, 4, (6, 4))

    Raises:
        InputError: it is not a matrix of numbers, or takes more memory than its file can mean.
    """
    shape = getattr(matrix, "shape", ())
    if len(shape) < 2:
        raise not_a_matrix(path, describe(matrix))
    n_samples, n_components = flattened(shape)
    check_shape(n_samples, n_components, path)
    whole = re.fullmatch(r"u?int\d+|bool", str(matrix.dtype).removeprefix("torch.")) is not None
    return OwnContent(n_samples, n_components, lambda: matrix_rows(matrix, path), whole_numbers=whole)


def beside_each_other(parts: Mapping[str, OwnContent]) -> OwnContent:
    """Return the activations of modules on the same samples as one matrix.

    Example:
        >>> parts = {name: matrix_content(np.eye(2), Path(__file__)) for name in ("attn", "mlp")}
        >>> beside_each_other(parts).generated_labels
        ['attn:0', 'attn:1', 'mlp:0', 'mlp:1']
    """
    widths = {name: part.n_components for name, part in parts.items()}

    def rows() -> sparse.csr_array:
        # by columns, which stack without coordinates of every value
        columns = [sparse.csc_array(part.rows()) for part in parts.values()]
        return sparse.csr_array(sparse.hstack(columns, format="csc"))

    n_samples = next(iter(parts.values())).n_samples
    kinds = {part.whole_numbers for part in parts.values()}
    whole = kinds.pop() if len(kinds) == 1 else False
    return OwnContent(n_samples, sum(widths.values()), rows, modules=widths, whole_numbers=whole)


def matrix_rows(matrix: Any, path: Path) -> sparse.csr_array:
    """Return the samples of any matrix.

    Example:
        >>> matrix_rows(sparse.eye_array(2), Path("x.npz")).toarray().tolist()
        [[1.0, 0.0], [0.0, 1.0]]

    Raises:
        InputError: it is not a matrix of real numbers.
    """
    try:
        if isinstance(matrix, ZippedArray):
            return sparse.csr_array(
                sparse.vstack([dense_rows(piece) for piece in matrix.pieces()], format="csr")
            )
        if not is_sparse(matrix):
            return dense_rows(matrix)
        if sparse.issparse(matrix) and matrix.format in ("csr", "csc", "bsr"):
            check_indices(matrix)
        return sparse_rows(matrix, copy=False)
    except InputError as error:
        raise not_a_matrix(path, str(error.found)) from error


def check_shape(n_samples: int, n_components: int, path: Path) -> None:
    """Raise an error for numbers of samples and components that would only waste memory.

    Example:
        >>> check_shape(10**12, 3, Path(__file__))
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...: shape: header declares more data than the file contains (...)

    Raises:
        InputError: they take more memory than the file can mean.
    """
    check_size(8 * n_samples + _BYTES_OF_LABEL * n_components, path, "shape")


def not_a_matrix(path: Path, found: str) -> InputError:
    """Return the error for a file whose contents are not a matrix of numbers.

    Example:
        >>> print(not_a_matrix(Path("x.npy"), "float32 (3,)"))
        x.npy: not a matrix of numbers (found: float32 (3,); allowed: ...)
    """
    return InputError("not a matrix of numbers", file=path, found=found, allowed=ALLOWED)


def describe(value: Any) -> str:
    """Return the type and shape of a value, for messages.

    Example:
        >>> describe(np.zeros((2, 3))), describe([1]), describe("a")
        ('float64 (2, 3)', 'list of 1', 'str')
    """
    if hasattr(value, "shape"):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return (
        f"{type(value).__name__} of {len(value)}" if isinstance(value, list | dict) else type(value).__name__
    )


def as_labels(labels: Any) -> Labels | None:
    """Return a list of texts, or of integers as texts; None for anything else.

    Example:
        >>> as_labels(["a:0", "a:1"]), as_labels([3, 14]), as_labels("ab")
        (['a:0', 'a:1'], ['3', '14'], None)
    """
    kinds = {type(label) for label in labels} if isinstance(labels, list) else {None}
    return [str(label) for label in labels] if kinds <= {str} or kinds == {int} else None
