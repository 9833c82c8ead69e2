"""The merge engine: loads batches in turn, runs the kernels, records each merge, pauses and resumes.

The state of an unfinished merge is plain arrays: enough to resume it with identical results.
"""

import hashlib
import json
import logging
import time
from typing import Any, Protocol, runtime_checkable

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.core.types import Int, Labels, Seed
from spdclust.merge.kernels import joining, layout
from spdclust.merge.kernels.layout import Rules, State
from spdclust.merge.loading import LoadedBatch, load_batch
from spdclust.merge.sources import BatchSource, next_batch
from spdclust.merge.state import build_state, read_all_rows, rules_for
from spdclust.merge.stepping import merge_up_to, replay

logger = logging.getLogger(__name__)

CHECKPOINT_FORMAT = 2


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
    text = json.dumps([CHECKPOINT_FORMAT, config.resolved(), labels, seed_as_list, n_merges], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _generator_to_array(rng: np.random.Generator) -> np.ndarray:
    """Return a generator's state as an array of text."""
    return np.array(json.dumps(rng.bit_generator.state))


def _generator_from_array(array: np.ndarray, rng: np.random.Generator) -> None:
    """Set a generator to the state in an array."""
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


class Engine:
    """A merge in progress.

    Args:
        source: source of the batches.
        components: columns of the components to merge.
        config: the settings of the merge.
        rng: generator used for all draws.
        threads: number of threads that read batches; the result does not depend on it.
        thorough: at every merge, count ranks and candidates over all pairs for the records.
    """

    def __init__(
        self,
        source: BatchSource,
        components: Int[np.ndarray, " components"],
        config: MergeConfig,
        rng: np.random.Generator,
        *,
        threads: int,
        thorough: bool = False,
    ) -> None:
        self.source = source
        self.kept = components
        self.config = config
        self.rng = rng
        self.threads = threads
        self.thorough = thorough
        self.n_merges = config.n_merges(len(components))
        self.n_done = 0
        self.log = np.full((layout.N_RECORDS, self.n_merges), np.nan)
        self.samples_at = np.zeros(self.n_merges, dtype=np.int64)
        self._n_batches_taken = 0
        self._batch_started_at = 0
        self._warned = False
        self._state: State | None = None
        self._rules: Rules | None = None

    @property
    def state(self) -> State:
        """The kernels' arrays."""
        assert self._state is not None, "no batch is loaded"
        return self._state

    @property
    def rules(self) -> Rules:
        """The values that are constant for the current batch."""
        assert self._rules is not None, "no batch is loaded"
        return self._rules

    def names(self) -> Int[np.ndarray, "iterations 2"]:
        """Return the smallest components of the groups merged so far."""
        return self.log[[layout.NAME_FIRST, layout.NAME_SECOND], : self.n_done].T.astype(np.int64)

    def name_of_component(self, n_done: int) -> Int[np.ndarray, " components"]:
        """Return, for each component, the smallest component of its group after `n_done` merges."""
        parents = np.arange(len(self.kept))
        firsts, seconds = self.names()[:n_done].T
        parents[seconds] = firsts
        # each pass halves the length of every chain
        while not np.array_equal(further := parents[parents], parents):
            parents = further
        return parents

    def next_stop(self) -> int:
        """Return the number of merges after which the next batch is loaded or the merge ends."""
        every = self.config.recompute_costs_every
        return min(self._batch_started_at + every, self.n_merges) if every > 1 else self.n_merges

    def advance(self, n_done: int) -> None:
        """Merge until `n_done` merges are done, at most up to `next_stop`.

        Raises:
            InputError: no pair can be merged, or a batch does not match.
        """
        if self._state is None or (self.n_done == self.next_stop() and self.n_done < self.n_merges):
            self._take_batch()
        first = self.n_done
        merge_up_to(self.state, self.rules, n_done, self.rng)
        self.n_done = n_done
        self.samples_at[first:n_done] = int(self.rules.n_samples)

    def repeat(self, names: Int[np.ndarray, "iterations 2"], n_done: int) -> None:
        """Join the given groups, without choosing, until `n_done` merges are done, at most up to `next_stop`.

        Raises:
            InputError: a batch does not match.
        """
        if self._state is None or (self.n_done == self.next_stop() and self.n_done < self.n_merges):
            self._take_batch()
        first = self.n_done
        replay(self.state, self.rules, names[first:n_done])
        self.n_done = n_done
        self.samples_at[first:n_done] = int(self.rules.n_samples)

    def skip_to(self, names: Int[np.ndarray, "iterations 2"], n_done: int) -> None:
        """Start at the state after the given merges, without doing them: load its batch under its grouping.

        Counts of samples are the same in whatever order groups were joined. Sums of products are not, nor is
        which groups are masked, so such merges start where their batch was loaded.

        Raises:
            InputError: a batch does not match.
        """
        every = self.config.recompute_costs_every
        n_before, within = divmod(n_done, every) if every > 1 else (0, n_done)
        if self._must_replay:
            n_done -= within
        self.log[[layout.NAME_FIRST, layout.NAME_SECOND], :n_done] = names[:n_done].T
        self.n_done = n_done
        self._skip_batches(n_before)
        self._take_batch()
        self._batch_started_at = n_before * every

    def _skip_batches(self, n_batches: int) -> None:
        # a new source starts over, and serves its batches round-robin
        for _ in range(n_batches % self.source.n_batches):
            next_batch(self.source)
        self._n_batches_taken = n_batches

    def _take_batch(self) -> None:
        batch = next_batch(self.source)
        self._n_batches_taken += 1
        self._batch_started_at = self.n_done
        began = time.monotonic()
        self._state = None  # free it before building the next one: one batch in memory at a time
        self._state, self._rules = self._load(batch, self.n_done, None, None)
        read_all_rows(self._state, self._rules, self.threads)
        if not self._warned and self._state.sums[layout.SUM_ACTIVITY] == 0:
            self._warned = True  # once, not for every batch
            threshold = self.config.activation_threshold
            logger.warning(
                "no component is ever active, pairs are drawn by chance alone: activation_threshold is "
                "%s, the largest activation is %g",
                "null" if threshold is None else f"{threshold:g}",
                batch.matrix[:, self.kept].max(),
            )
        logger.info(
            "batch loaded: %d groups, %d samples, %d active entries, %.2f s",
            self.state.counts[layout.GROUPS],
            self.rules.n_samples,
            len(self.state.rows),
            time.monotonic() - began,
        )

    def _load(
        self,
        batch: Any,
        n_done: int,
        slot_names: Int[np.ndarray, " groups"] | None,
        capacity: int | None,
    ) -> tuple[State, Rules]:
        """Load a batch under the grouping after `n_done` merges, with its groups in the given slots."""
        if list(batch.labels) != list(self.source.labels):
            raise InputError(
                "a batch's components differ from the run's",
                field="labels",
                found=f"{len(batch.labels)} labels",
                allowed=f"the same {len(self.source.labels)} labels in the same order",
            )
        names, group_of = np.unique(self.name_of_component(n_done), return_inverse=True)
        group_of_column = np.full(len(batch.labels), -1, dtype=np.int64)
        group_of_column[self.kept] = group_of
        order = None if slot_names is None else np.searchsorted(names, slot_names)
        loaded: LoadedBatch = load_batch(
            batch, group_of_column, order, self.config, self.threads, capacity=capacity
        )
        if loaded.n_samples == 0:
            raise InputError("a batch has no samples", field="activations", allowed="at least one sample")
        ranks = np.bincount(group_of)
        return build_state(loaded, names, ranks, n_done, self.log), rules_for(
            self.config, loaded, self.thorough
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything needed to resume from this point, except the batches."""
        state = self.state
        return {
            "n_done": np.array(self.n_done),
            "log": self.log[:, : self.n_done],
            "samples_at": self.samples_at[: self.n_done],
            "n_batches_taken": np.array(self._n_batches_taken),
            "batch_started_at": np.array(self._batch_started_at),
            "generator": _generator_to_array(self.rng),
            "figures": state.figures,
            "marks": state.marks,
            "blocks": state.blocks,
            "counts": state.counts,
            "sums": state.sums,
        }

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Resume from the point at which the arrays were saved.

        Raises:
            InputError: the current batch is not the one that the arrays were saved with.
        """
        n_done = int(arrays["n_done"])
        self._skip_batches(int(arrays["n_batches_taken"]) - 1)
        batch = next_batch(self.source)
        self._n_batches_taken += 1
        self._batch_started_at = int(arrays["batch_started_at"])
        self.n_done = n_done
        self.log[:, :n_done] = arrays["log"]
        # counts of samples do not depend on how the groups formed; rounded sums and masked pairs do
        load = self._replay if self._must_replay else self._recount
        self._state, self._rules = load(batch, arrays)
        if not np.array_equal(self._state.figures[layout.ACTIVITY], arrays["figures"][layout.ACTIVITY]):
            raise InputError(
                "the batch differs from the one that the checkpoint was taken with",
                field="checkpoint",
                allowed="the same batches, or no checkpoint",
            )
        # the sets of samples were just written, without the gaps that they had
        top = int(self._state.counts[layout.TOP])
        for name in ("figures", "blocks", "counts", "sums"):
            getattr(self._state, name)[:] = arrays[name]
        self._state.counts[layout.TOP] = top
        # names and sets are set already; these decide which rows are read again, and so the order of draws
        for mark in (layout.LOW_AT, layout.TIES, layout.PEAK_AT):
            self._state.marks[mark] = arrays["marks"][mark]
        self.log[:, :n_done] = arrays["log"]
        self.samples_at[:n_done] = arrays["samples_at"]
        _generator_from_array(arrays["generator"], self.rng)

    @property
    def _must_replay(self) -> bool:
        """Whether a state depends on the merges since its batch was loaded, not on the grouping alone."""
        masks = self.config.recompute_costs_every > 1 and self.config.between_batches == "mask"
        return masks or self.config.activation_threshold is None

    def _recount(self, batch: Any, arrays: dict[str, np.ndarray]) -> tuple[State, Rules]:
        """Count the coactivations of the current groups and store them in the groups' previous slots."""
        slots = np.flatnonzero(arrays["figures"][layout.CLOSED] == 0)
        capacity = arrays["figures"].shape[1]
        state, rules = self._load(batch, self.n_done, arrays["marks"][layout.NAME, slots], capacity)
        joining.spread_rows(state.coact, slots)
        for array, rest in ((state.figures[layout.ACTIVITY], 0.0), *((mark, -1) for mark in state.marks)):
            values = array[: len(slots)].copy()
            array[:] = rest
            array[slots] = values
        state.marks[layout.SPAN_LENGTH, np.setdiff1d(np.arange(capacity), slots)] = 0
        state.owner[:] = slots
        # closed slots keep their last values; nothing reads them
        closed = np.setdiff1d(np.arange(capacity), slots)
        state.figures[layout.ACTIVITY, closed] = arrays["figures"][layout.ACTIVITY, closed]
        return state, rules

    def _replay(self, batch: Any, arrays: dict[str, np.ndarray]) -> tuple[State, Rules]:
        """Repeat the merges since the batch was loaded: sums of products depend on the order of addition."""
        state, rules = self._load(batch, self._batch_started_at, None, None)
        replay(state, rules, self.names()[self._batch_started_at :])
        return state, rules
