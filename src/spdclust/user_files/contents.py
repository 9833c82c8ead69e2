"""Activations of a user-supplied file that is open: their size, and how their samples are read."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, check_size
from spdclust.core.types import Labels
from spdclust.files.archive import array_header, check_announced, check_indices, read_archive
from spdclust.files.zip_files import check_members_size, open_zip
from spdclust.merge.rows import NUMBERS_AT_ONCE, dense_rows, flattened, is_sparse, sparse_rows
from spdclust.user_files.tokens import UserTokens

ALLOWED = (
    "(…, components) of numbers: one array, `activations` (with `labels` and `tokens`), {module: array}, "
    "`indices` with `values`, or `locations` with `activations`; remove or rename other arrays"
)
ALLOWED_LABELS = "a list with one text or one integer per component"

_BYTES_OF_LABEL = 100


@dataclass(frozen=True)
class UserContent:
    """Activations of a file that is open.

    Attributes:
        n_components: number of components; if `states_width` is False, one more than the largest index.
        rows: read the samples as sparse rows.
        labels: names of the components, if the file has any.
        modules: number of components of each module, if the file names modules.
        tokens: the token of each sample, if the file has them.
        columns: which columns of a table are read, and which are not; empty for other files.
        states_width: whether the file states the number of components.
        whole_numbers: whether the values are integers or truth values, as in a mask; None if unknown.
        is_batch: whether it is a batch written by spdclust.
        threshold: threshold of the sets of active components, of a batch without values.
    """

    n_samples: int
    n_components: int
    rows: Callable[[], sparse.csr_array]
    labels: Labels | None = None
    modules: Mapping[str, int] | None = None
    tokens: UserTokens | None = None
    columns: str = ""
    states_width: bool = True
    whole_numbers: bool | None = None
    is_batch: bool = False
    threshold: float | None = None

    @property
    def generated_labels(self) -> Labels:
        """Labels `<module>:<index>`, for activations without any."""
        modules = self.modules or {"latent": self.n_components}
        return [f"{name}:{number}" for name, width in modules.items() for number in range(width)]

    def widened(self, n_components: int) -> "UserContent":
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
    """A dense array in an archive, read in pieces.

    Attributes:
        name: name of the array, without `.npy`.
        fortran_order: whether the values of a component follow each other, instead of those of a sample.
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

    def rows(self) -> sparse.csr_array:
        """Return the samples, read some at a time; in Fortran order some components at a time.

        Raises:
            InputError: the archive is damaged, or the array does not hold real numbers.
        """
        *leading, n_columns = self.shape
        n_rows = math.prod(leading)
        n_lines, width = (n_columns, n_rows) if self.fortran_order else (n_rows, n_columns)
        at_once = max(1, NUMBERS_AT_ONCE // max(1, width))
        lines = [dense_rows(np.empty((0, width), self.dtype))]
        with open_zip(self.path, "matrix") as archive, archive.open(f"{self.name}.npy") as stream:
            array_header(stream)
            for start in range(0, n_lines, at_once):
                n = min(at_once, n_lines - start)
                block = np.frombuffer(stream.read(n * width * self.dtype.itemsize), self.dtype)
                if self.fortran_order:  # the first axis varies fastest, also among the samples
                    block = block.reshape((*leading, n), order="F").reshape(width, n).T
                lines.append(dense_rows(block.reshape(n, width)))
            stream.read()  # to the end, where the checksum is verified
        stacked = sparse.vstack(lines, format="csr")
        return sparse.csr_array(stacked.T if self.fortran_order else stacked)


def zipped_arrays(path: Path, kind: str, allowed: str) -> dict[str, ZippedArray]:
    """Return the arrays of an archive by name, after checking that every header matches the stored size.

    Example:
        >>> np.savez(f"{folder}/a.npz", activations=np.array([[0.0, 0.5], [0.25, 0.0]], order="F"))
        >>> array = zipped_arrays(folder / "a.npz", "matrix", "a .npz")["activations"]
        >>> array.shape, array.rows().toarray().tolist()
        ((2, 2), [[0.0, 0.5], [0.25, 0.0]])

    Raises:
        InputError: the archive or an array in it is damaged.
    """
    arrays = {}
    with open_zip(path, kind) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        check_members_size(archive, path, members)
        for member in members:
            with (
                as_input_error("not a readable array", path, allowed, member),
                archive.open(member) as stream,
            ):
                shape, fortran, dtype = array_header(stream)
                check_announced(shape, dtype, archive.getinfo(member).file_size - stream.tell())
            name = member.removesuffix(".npy")
            arrays[name] = ZippedArray(path, name, shape, dtype, fortran)
    return arrays


def matrix_content(matrix: Any, path: Path) -> UserContent:
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
    whole = are_whole(matrix.dtype)
    if whole is None:
        raise not_a_matrix(path, describe(matrix))
    return UserContent(n_samples, n_components, lambda: matrix_rows(matrix, path), whole_numbers=whole)


def are_whole(dtype: Any) -> bool | None:
    """Return whether the numbers of a NumPy or PyTorch type are whole; None if it has no real numbers.

    Example:
        >>> are_whole(np.dtype(">i2")), are_whole(np.dtype(np.float16)), are_whole(np.dtype(complex))
        (True, False, None)
    """
    if hasattr(dtype, "is_complex"):  # of PyTorch, whose quantized types are named torch.qint8, …
        real = not (dtype.is_complex or str(dtype).startswith(("torch.q", "torch.bits")))
        return not dtype.is_floating_point if real else None
    return dtype.kind in "biu" if dtype.kind in "biuf" else None


def beside_each_other(parts: Mapping[str, UserContent]) -> UserContent:
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
    return UserContent(n_samples, sum(widths.values()), rows, modules=widths, whole_numbers=whole)


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
            return matrix.rows()
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
