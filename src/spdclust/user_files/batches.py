"""A batch of user-supplied activations: one file, or several shards whose samples follow each other."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import digest_of
from spdclust.merge.activations import ProcessedActivations
from spdclust.user_files.matrices import digest_of_own, read_own
from spdclust.user_files.tokens import TokenTexts


def read_own_batch(
    files: Sequence[str | Path], seed: int = 0, *, token_texts: TokenTexts | None = None
) -> ActivationBatch:
    """Read the files of one batch; the samples of its shards are concatenated in order.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     shards = [Path(folder) / f"acts-{number}-of-2.npy" for number in range(2)]
        ...     for number, path in enumerate(shards):
        ...         np.save(path, np.full((2, 3), number + 1.0))
        ...     read_own_batch(shards).matrix.toarray()[:, 0].tolist()
        [1.0, 1.0, 2.0, 2.0]

    Args:
        files: the shards in order, or the only file.
        seed: seed of the batch, unless the file is an spdclust batch, which has its own.
        token_texts: the texts of token ids.

    Raises:
        InputError: a file is missing, damaged or not a matrix, or the shards have different components.
    """
    first, *others = map(Path, files)
    batch = read_own(first, seed, token_texts=token_texts)
    if not others:
        return batch
    matrices = [batch.matrix]
    for file in others:
        shard = read_own(file, seed)
        if shard.labels != batch.labels:
            raise InputError(
                "shards have different components",
                file=file,
                field="labels",
                found=f"{shard.n_components} components",
                allowed=f"the {batch.n_components} of {first.name}",
            )
        matrices.append(shard.matrix)
    matrix = sparse.vstack(matrices, format="csr")
    # tokens are those of the first samples, which the first shard has
    return replace(
        batch,
        activations=ProcessedActivations.from_sparse(matrix, batch.labels, copy=False),
        maxima=batch.maxima[:0],
        means=batch.means[:0],
    )


def digest_of_batch(files: Sequence[str | Path]) -> str:
    """Return one SHA-256 for the files of a batch, in hex: that of the only file, or one of all shards.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.npy"
        ...     _ = path.write_bytes(b"abc")
        ...     digest_of_batch([path])[:8], digest_of_batch([path, path])[:8] == digest_of_batch([path])[:8]
        ('ba7816bf', False)

    Raises:
        InputError: a file cannot be read.
    """
    digests = [digest_of_own(Path(file)) for file in files]
    return digests[0] if len(digests) == 1 else digest_of(*digests)
