"""A batch of user-supplied activations: one file, or several shards whose samples follow each other."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import digest_of
from spdclust.merge.activations import ActiveSets, ProcessedActivations
from spdclust.user_files.matrices import digest_of_user_file, read_user_file, read_with_tokens
from spdclust.user_files.tokens import TokenTexts


def read_user_batch(
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
        ...     read_user_batch(shards).matrix.toarray()[:, 0].tolist()
        [1.0, 1.0, 2.0, 2.0]

    Args:
        files: the shards in order, or the only file.
        seed: seed of the batch, unless the file is an spdclust batch, which has its own.
        token_texts: the texts of token ids.

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
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.npy"
        ...     _ = path.write_bytes(b"abc")
        ...     digest_of_batch([path])[:8], digest_of_batch([path, path])[:8] == digest_of_batch([path])[:8]
        ('ba7816bf', False)

    Raises:
        InputError: a file cannot be read.
    """
    digests = [digest_of_user_file(Path(file)) for file in files]
    return digests[0] if len(digests) == 1 else digest_of(*digests)
