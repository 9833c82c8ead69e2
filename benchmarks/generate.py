"""Sparse activations like those of a decomposed model: latents of heavy-tailed rates, a few components each.

About 100 components are active on a sample, whatever the number of components.
"""

from collections.abc import Iterator

import numba
import numpy as np
from scipy import sparse

from spdclust.merge.activations import ProcessedActivations

LATENTS_PER_SAMPLE = 25
FIRES = 0.7
ALONE_PER_SAMPLE = 5
SAMPLES_PER_CHUNK = 100_000


class Model:
    """Which components belong to which latent, and how often latents are active."""

    def __init__(self, n_components: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        n_latents = max(4, n_components // 6)
        rates = 1 / np.arange(1, n_latents + 1) ** 0.9
        sizes = 1 + rng.poisson(5, n_latents)
        self.n_components = n_components
        self.seed = seed
        self.cumulative = np.cumsum(rates) / rates.sum()
        self.member_start = np.concatenate([[0], np.cumsum(sizes)])
        self.members = rng.integers(0, n_components, self.member_start[-1]).astype(np.int32)

    def chunk(self, number: int, n_samples: int) -> sparse.csr_array:
        """Return one stretch of samples, always the same for the same number."""
        rng = np.random.default_rng([self.seed, number])
        indptr, indices = _draw(
            n_samples, self.n_components, self.cumulative, self.member_start, self.members, rng
        )
        matrix = sparse.csr_array(
            (np.ones(len(indices), dtype=np.float32), indices, indptr), shape=(n_samples, self.n_components)
        )
        matrix.has_sorted_indices = True
        return matrix


@numba.njit(cache=True)
def _draw(n_samples, n_components, cumulative, member_start, members, rng):
    indptr = np.zeros(n_samples + 1, dtype=np.int64)
    indices = np.empty(n_samples * 260, dtype=np.int32)
    seen = np.full(n_components, -1, dtype=np.int64)
    n = 0
    for sample in range(n_samples):
        first = n
        for _ in range(rng.poisson(LATENTS_PER_SAMPLE)):
            latent = np.searchsorted(cumulative, rng.random())
            for component in members[member_start[latent] : member_start[latent + 1]]:
                if rng.random() < FIRES and seen[component] != sample:
                    seen[component] = sample
                    indices[n] = component
                    n += 1
        for _ in range(rng.poisson(ALONE_PER_SAMPLE)):
            component = np.int64(rng.random() * n_components)
            if seen[component] != sample:
                seen[component] = sample
                indices[n] = component
                n += 1
        indices[first:n].sort()
        indptr[sample + 1] = n
    return indptr, indices[:n].copy()


def labels(n_components: int) -> list[str]:
    return [f"module.{component // 500}:{component % 500}" for component in range(n_components)]


def activations(n_components: int, n_samples: int, seed: int = 0) -> ProcessedActivations:
    """Return activations in memory."""
    model = Model(n_components, seed)
    chunks = [model.chunk(number, size) for number, size in _chunks(n_samples)]
    return ProcessedActivations(sparse.csr_array(sparse.vstack(chunks)), labels(n_components))


class Streamed:
    """One batch that is drawn chunk by chunk whenever it is read: a `BatchSource` that holds nothing."""

    n_batches = 1

    def __init__(self, n_components: int, n_samples: int, seed: int = 0) -> None:
        self.model = Model(n_components, seed)
        self.labels = labels(n_components)
        self.n_samples = n_samples

    def get_next_batch(self) -> "Streamed":
        return self

    def component_stats(self) -> tuple[np.ndarray, np.ndarray]:
        ones = np.ones((1, self.model.n_components))
        return ones, ones

    def chunks(self) -> Iterator[sparse.csr_array]:
        for number, size in _chunks(self.n_samples):
            yield self.model.chunk(number, size)


def _chunks(n_samples: int) -> Iterator[tuple[int, int]]:
    for number, first in enumerate(range(0, n_samples, SAMPLES_PER_CHUNK)):
        yield number, min(SAMPLES_PER_CHUNK, n_samples - first)
