"""What someone without this package would do: cluster components by how often they are active together.

Every method takes coactivation counts and returns an integer per component, -1 for a component in no group.
It is applied to one run, to each run with a consensus of the results, and to the pooled samples of all runs.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
from partition_scores import without_singletons
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import HDBSCAN, FeatureAgglomeration
from sklearn.metrics import silhouette_score

THRESHOLDS = np.arange(1, 100) / 100
RESOLUTION = 0.2
CONDITIONAL = 0.5
AGREEMENT = 0.5

Method = Callable[[np.ndarray], np.ndarray]


def coactivation(matrix: sparse.csr_array, threshold: float = 0.0) -> np.ndarray:
    """Return on how many samples each two components are active together; on the diagonal, each one."""
    active = matrix > threshold
    active = active.astype(np.float32)  # counts below 2**24 are exact
    return (active.T @ active).toarray().astype(np.float64)


def jaccard_distance(counts: np.ndarray) -> np.ndarray:
    """Return 1 - (both active) / (either active) for every pair, 1 for components that are never active."""
    single = np.diag(counts)
    either = single[:, None] + single[None, :] - counts
    distance = 1 - counts / np.maximum(either, 1)
    np.fill_diagonal(distance, 0)
    return distance


def average_linkage(counts: np.ndarray) -> np.ndarray:
    """Average linkage on Jaccard distances, cut where the mean silhouette is largest."""
    return _linkage("average", counts)


def complete_linkage(counts: np.ndarray) -> np.ndarray:
    """Complete linkage on Jaccard distances, cut where the mean silhouette is largest."""
    return _linkage("complete", counts)


def feature_agglomeration(counts: np.ndarray) -> np.ndarray:
    """`FeatureAgglomeration` (average linkage, cosine distance), cut where the mean silhouette is largest.

    The cosine of two binary columns follows from the counts, so the tree is the one that
    `FeatureAgglomeration(metric="cosine")` builds from the dense activations.
    """
    single = np.diag(counts)
    distance = 1 - counts / np.sqrt(np.maximum(single[:, None] * single[None, :], 1))
    np.fill_diagonal(distance, 0)
    tree = FeatureAgglomeration(None, distance_threshold=0, metric="precomputed", linkage="average").fit(
        distance
    )
    sizes = np.ones(len(distance) + len(tree.children_))
    for node, children in enumerate(tree.children_, len(distance)):
        sizes[node] = sizes[children].sum()
    merges = np.column_stack([tree.children_, tree.distances_, sizes[len(distance) :]])
    return _cut_by_silhouette(merges, distance)


def hdbscan(counts: np.ndarray) -> np.ndarray:
    """HDBSCAN on Jaccard distances, smallest cluster 2."""
    return HDBSCAN(min_cluster_size=2, metric="precomputed", copy=True).fit_predict(jaccard_distance(counts))


def leiden(counts: np.ndarray) -> np.ndarray:
    """Leiden communities (constant Potts model, resolution .2) of the graph of Jaccard similarities."""
    import igraph  # only this method needs them
    import leidenalg

    similarity = np.triu(1 - jaccard_distance(counts), 1)
    edges = np.argwhere(similarity > 0)
    graph = igraph.Graph(n=len(counts), edges=edges)
    weights = similarity[tuple(edges.T)].tolist()
    partition = leidenalg.find_partition(
        graph, leidenalg.CPMVertexPartition, weights=weights, resolution_parameter=RESOLUTION, seed=0
    )
    return np.array(partition.membership)


def conditional_components(counts: np.ndarray) -> np.ndarray:
    """Connected components of the pairs with min(P(i active | j), P(j active | i)) > .5."""
    single = np.diag(counts)
    conditional = counts / np.maximum(np.maximum(single[:, None], single[None, :]), 1)
    return sparse.csgraph.connected_components(sparse.csr_array(conditional > CONDITIONAL), directed=False)[1]


METHODS: dict[str, Method] = {
    "average linkage, silhouette": average_linkage,
    "complete linkage, silhouette": complete_linkage,
    "HDBSCAN": hdbscan,
    "Leiden": leiden,
    "conditional > .5, components": conditional_components,
    "FeatureAgglomeration": feature_agglomeration,
}


def apply(method: Method, counts: np.ndarray) -> np.ndarray:
    """Return the groups of two or more that a method finds among the components that are active at all."""
    active = np.flatnonzero(np.diag(counts) > 0)
    groups = np.full(len(counts), -1)
    if len(active) > 2:
        groups[active] = method(counts[np.ix_(active, active)])
    return without_singletons(groups)


def consensus(partitions: Sequence[np.ndarray]) -> np.ndarray:
    """Return the groups that runs agree on.

    The co-association of two components is the share of the runs in which they share a group. Average linkage
    on 1 - co-association is cut just below .5: the mean co-association of joined parts is above one half.
    """
    together = np.mean([(each[:, None] == each) & (each[:, None] >= 0) for each in partitions], axis=0)
    np.fill_diagonal(together, 1)
    merges = linkage(squareform(1 - together, checks=False), "average")
    return without_singletons(fcluster(merges, np.nextafter(1 - AGREEMENT, 0), "distance"))


def alternatives(
    matrices: Sequence[sparse.csr_array],
    threshold: float = 0.0,
    only: Callable[[str], bool] = lambda name: True,
) -> dict[tuple[str, str], tuple[np.ndarray, float]]:
    """Return groups and CPU seconds, counting included, by method and by what it is applied to.

    Args:
        matrices: activations of each run, `(samples, components)`.
        threshold: a component is active above it.
        only: which methods, by name.
    """
    began = time.process_time()
    counts = [coactivation(matrix, threshold) for matrix in matrices]
    pooled = np.sum(counts, axis=0)
    counting = time.process_time() - began  # the pooled counts are the sum of the runs' counts
    results: dict[tuple[str, str], tuple[np.ndarray, float]] = {}
    for name, method in METHODS.items():
        if not only(name):
            continue
        began = time.process_time()
        partitions = [apply(method, counts[0])]
        one = time.process_time() - began
        partitions += [apply(method, each) for each in counts[1:]]
        agreed = consensus(partitions)
        every = time.process_time() - began
        began = time.process_time()
        of_pooled = apply(method, pooled)
        results[name, "one run"] = partitions[0], one + counting / len(counts)
        results[name, "consensus"] = agreed, every + counting
        results[name, "pooled"] = of_pooled, time.process_time() - began + counting
    return results


def _linkage(kind: str, counts: np.ndarray) -> np.ndarray:
    distance = jaccard_distance(counts)
    return _cut_by_silhouette(linkage(squareform(distance, checks=False), kind), distance)


def _cut_by_silhouette(merges: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Cut a tree at the height, one of .01, .02, …, .99, with the largest mean silhouette."""
    best, chosen, n_before = -np.inf, np.arange(len(distance)), -1
    for height in THRESHOLDS:
        groups = fcluster(merges, height, "distance")
        n_groups = groups.max()
        if not 1 < n_groups < len(distance) or n_groups == n_before:  # as many groups are the same groups
            continue
        n_before = n_groups
        silhouette = silhouette_score(distance, groups, metric="precomputed")
        if silhouette > best:
            best, chosen = silhouette, groups
    return chosen
