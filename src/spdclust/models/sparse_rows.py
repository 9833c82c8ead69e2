"""Convert dense causal importances of a chunk to sparse rows, on the same device."""

from collections.abc import Mapping

import numpy as np
import torch
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.types import Float


def checked_dense(
    importances: Mapping[str, torch.Tensor], source: str | None = None
) -> Float[torch.Tensor, "samples components"]:
    """Return importances by module as one matrix, with positions as samples in row-major order.

    Example:
        >>> checked_dense({"a": torch.zeros(2, 3, 4), "b": torch.ones(2, 3, 1)}).shape
        torch.Size([6, 5])

    Raises:
        InputError: a value is NaN or infinite (names the component).
    """
    dense = torch.cat([each.flatten(0, -2) for each in importances.values()], dim=1)
    finite = dense.isfinite()
    if not bool(finite.all()):
        column = int((~finite).any(dim=0).nonzero()[0])
        labels = (f"{name}:{i}" for name, each in importances.items() for i in range(each.shape[-1]))
        label = next(label for number, label in enumerate(labels) if number == column)
        raise InputError(
            "causal importance is NaN or infinite",
            file=source,
            field=label,
            allowed="finite values; the weights of this module are damaged, or training diverged",
        )
    return dense


def sparse_rows(dense: Float[torch.Tensor, "samples components"]) -> sparse.csr_array:
    """Return a matrix without its zeros; all other values are unchanged.

    Example:
        >>> sparse_rows(torch.tensor([[0.0, 0.5], [0.0, 0.0]])).indptr.tolist()
        [0, 1, 1]
    """
    stored = dense != 0
    counts = stored.sum(dim=1).cpu().numpy()
    columns = stored.nonzero()[:, 1].to(torch.int32).cpu().numpy()
    values = dense[stored].cpu().numpy()
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32 if len(values) < 2**31 else np.int64)
    return sparse.csr_array((values, columns, indptr), shape=tuple(dense.shape))
