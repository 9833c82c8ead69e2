"""The state of an unfinished merge as plain arrays: enough to resume it with identical results."""

import hashlib
import json
import logging
from typing import Protocol, runtime_checkable

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.types import Labels, Seed

FORMAT = 2

logger = logging.getLogger(__name__)


@runtime_checkable
class CheckpointStore(Protocol):
    """Storage for the state of an unfinished merge; the data layer writes it to a file."""

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the last saved arrays, or None if there are none."""

    def save(self, arrays: dict[str, np.ndarray]) -> None:
        """Replace the saved arrays with these; must be atomic."""


def identity_of(config: MergeConfig, labels: Labels, seed: Seed, n_merges: int) -> str:
    """Return a digest that identifies a merge, so that the checkpoint of another merge is never used.

    Example:
        >>> config = MergeConfig()
        >>> identity_of(config, ["a:0"], 0, 3) == identity_of(config, ["a:0"], 1, 3)
        False
    """
    seed_as_list = [seed] if isinstance(seed, int) else list(seed)
    text = json.dumps([FORMAT, config.resolved(), labels, seed_as_list, n_merges], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def generator_to_array(rng: np.random.Generator) -> np.ndarray:
    """Return a generator's state as an array of text.

    Example:
        >>> rng, copy = np.random.default_rng(1), np.random.default_rng(2)
        >>> generator_from_array(generator_to_array(rng), copy)
        >>> float(rng.random()) == float(copy.random())
        True
    """
    return np.array(json.dumps(rng.bit_generator.state))


def generator_from_array(array: np.ndarray, rng: np.random.Generator) -> None:
    """Set a generator to the state in an array.

    Example:
        >>> first, second = np.random.default_rng(1), np.random.default_rng(2)
        >>> generator_from_array(generator_to_array(first), second)
        >>> bool(first.random() == second.random())
        True
    """
    rng.bit_generator.state = json.loads(str(array))


def load_fitting(store: CheckpointStore, identity: str) -> dict[str, np.ndarray] | None:
    """Return the saved arrays if they belong to this merge; otherwise log that they do not and return None.

    Example:
        >>> class InMemory:
        ...     def load(self):
        ...         return {"identity": np.array("ab"), "n_done": np.array(3)}
        ...     def save(self, arrays): ...
        >>> int(load_fitting(InMemory(), "ab")["n_done"]), load_fitting(InMemory(), "cd")
        (3, None)
    """
    arrays = store.load()
    if arrays is None:
        return None
    if str(arrays.get("identity", "")) != identity:
        logger.warning("the checkpoint belongs to another merge; starting from the beginning")
        return None
    return arrays
