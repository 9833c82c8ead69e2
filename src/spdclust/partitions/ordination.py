"""Classical multidimensional scaling: points in the plane that approximate given distances."""

import numpy as np

from spdclust.core.types import Float


def classical_scaling(
    distances: Float[np.ndarray, "runs runs"], n_axes: int = 2
) -> tuple[Float[np.ndarray, "runs axes"], Float[np.ndarray, " axes"]]:
    """Return coordinates of the items of a distance matrix, and the share of it that each axis explains.

    Example:
        >>> points, shares = classical_scaling(np.array([[0.0, 3.0], [3.0, 0.0]]))
        >>> np.abs(points[0] - points[1]).round(6).tolist(), shares.tolist()
        ([3.0, 0.0], [1.0, 0.0])

    Returns:
        points: coordinates, longest axis first; each axis is oriented such that the item farthest from the
            centre, the first one if tied, is on the positive side.
        shares: eigenvalue over the sum of the absolute eigenvalues; all 0 if all distances are 0.

    Source:
        Torgerson 1952, Psychometrika 17: B = −½ J D² J with J = I − 1/n; coordinates are eigenvectors of B
        times the square roots of their eigenvalues. Non-Euclidean distances give negative eigenvalues, whose
        axes are dropped.
    """
    n = len(distances)
    squared = np.square(distances)
    centred = -0.5 * (squared - squared.mean(axis=0) - squared.mean(axis=1, keepdims=True) + squared.mean())
    values, vectors = np.linalg.eigh((centred + centred.T) / 2)
    order = np.argsort(-values, kind="stable")[: min(n_axes, n)]
    kept = np.clip(values[order], 0.0, None)
    kept[kept <= 1e-12 * max(1.0, float(np.abs(values).max()))] = 0.0
    points = np.zeros((n, n_axes))
    points[:, : len(order)] = vectors[:, order] * np.sqrt(kept)
    farthest = np.argmax(np.abs(points).round(9), axis=0)
    points *= np.where(points[farthest, np.arange(n_axes)] < 0, -1.0, 1.0)
    shares = np.zeros(n_axes)
    if kept.any():
        shares[: len(order)] = kept / np.abs(values).sum()
    return points, shares
