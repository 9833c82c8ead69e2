"""A merge that is stopped at any moment goes on and ends with the same bytes."""

import copy
import logging
import re

import numpy as np
import pytest
from merging import LIMITS, activations, config, narrow_up_to, random_dense

from spdclust.core.errors import InputError
from spdclust.merge import merging
from spdclust.merge.engine import CheckpointStore
from spdclust.merge.merging import merge_iteration


class InMemory:
    """Keeps every state saved."""

    def __init__(self, state=None) -> None:
        self.states = [] if state is None else [state]

    def load(self):
        return self.states[-1] if self.states else None

    def save(self, arrays) -> None:
        # what a file would hold: arrays without objects
        assert all(array.dtype.kind in "biufU" for array in arrays.values())
        self.states.append(copy.deepcopy(arrays))


class Killed(InMemory):
    """Stops the merge at a save, before or after it."""

    def __init__(self, n_saves: int) -> None:
        super().__init__()
        self.n_saves = n_saves

    def save(self, arrays) -> None:
        super().save(arrays)
        if len(self.states) == self.n_saves:
            raise KeyboardInterrupt


def bytes_of(history) -> list[bytes]:
    arrays = [history.selected_pairs, history.mdl_loss, history.merge_pair_cost, *history.records.values()]
    return [array.tobytes() for array in arrays]


CASES = [
    ("range", 0.0, {}),
    ("range", 0.03, {}),
    ("mcmc", 0.3, {}),
    ("exp_rank", 0.3, {}),
    ("range", 0.03, {"activation_threshold": None}),
    ("mcmc", 0.3, {"activation_threshold": None}),
    ("exp_rank", 0.3, {"recompute_costs_every": 40}),
    ("range", 0.03, {"recompute_costs_every": 30, "between_batches": "mask", "iters": 100}),
    ("mcmc", 0.3, {"recompute_costs_every": 35, "activation_threshold": None}),
]


@pytest.mark.parametrize(("method", "argument", "more"), CASES)
def test_a_merge_goes_on_from_every_state_with_the_same_bytes(method, argument, more, monkeypatch) -> None:
    monkeypatch.setattr(merging, "SECONDS_AT_ONCE", 1e-9)  # a save after every few merges
    scalar = more.get("activation_threshold", 0.5) is None
    acts = [activations(random_dense(seed, 300, 160, scalar)) for seed in (1, 2, 3)]
    chosen = config(method, argument, **more)
    whole = merge_iteration(acts, chosen, seed=5)
    store = InMemory()
    assert isinstance(store, CheckpointStore)
    saved = merge_iteration(acts, chosen, seed=5, checkpoint=store, checkpoint_seconds=0.0)
    assert bytes_of(saved) == bytes_of(whole)
    assert len(store.states) > 60
    for number, state in enumerate(store.states[::17]):
        with narrow_up_to(LIMITS[number % len(LIMITS)]):
            resumed = merge_iteration(
                acts, chosen, seed=5, checkpoint=InMemory(state), checkpoint_seconds=0.0
            )
        assert bytes_of(resumed) == bytes_of(whole)


def test_a_merge_killed_again_and_again_ends_with_the_same_bytes(monkeypatch) -> None:
    monkeypatch.setattr(merging, "SECONDS_AT_ONCE", 1e-9)
    acts, chosen = activations(random_dense(7, 200, 120)), config("mcmc", 0.2)
    state, kills = None, 0
    while True:
        store = Killed(4)
        store.states = [] if state is None else [state]
        try:
            history = merge_iteration(acts, chosen, 1, checkpoint=store, checkpoint_seconds=0.0)
            break
        except KeyboardInterrupt:
            state, kills = store.load(), kills + 1
    assert kills > 5
    assert bytes_of(history) == bytes_of(merge_iteration(acts, chosen, 1))


def test_the_state_of_another_merge_is_not_used(monkeypatch, caplog) -> None:
    monkeypatch.setattr(merging, "SECONDS_AT_ONCE", 1e-9)
    acts, store = activations(random_dense(7, 200, 60)), InMemory()
    merge_iteration(acts, config("mcmc", 0.2), 1, checkpoint=store, checkpoint_seconds=0.0)
    with caplog.at_level(logging.WARNING):
        other = merge_iteration(acts, config("mcmc", 0.2), 2, checkpoint=store, checkpoint_seconds=1e9)
    assert "belongs to another merge" in caplog.text
    assert bytes_of(other) == bytes_of(merge_iteration(acts, config("mcmc", 0.2), 2))


def test_a_state_of_other_batches_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(merging, "SECONDS_AT_ONCE", 1e-9)
    acts, store = activations(random_dense(7, 200, 60)), InMemory()
    merge_iteration(acts, config(), 1, checkpoint=store, checkpoint_seconds=0.0)
    other = activations(random_dense(8, 200, 60))
    with pytest.raises(InputError) as caught:
        merge_iteration(other, config(), 1, checkpoint=InMemory(store.states[3]), checkpoint_seconds=0.0)
    assert str(caught.value) == (
        "checkpoint: the batch differs from the one that the checkpoint was taken with "
        "(allowed: the same batches, or no checkpoint)"
    )


def test_a_state_is_small_whatever_the_number_of_samples(monkeypatch) -> None:
    monkeypatch.setattr(merging, "SECONDS_AT_ONCE", 1e-9)
    store = InMemory()
    merge_iteration(
        activations(random_dense(7, 5000, 60)), config(), checkpoint=store, checkpoint_seconds=0.0
    )
    assert max(sum(array.nbytes for array in state.values()) for state in store.states) < 100_000


def test_progress_goes_to_the_log_and_to_no_terminal(caplog, capsys, monkeypatch) -> None:
    monkeypatch.setattr(merging, "SECONDS_AT_ONCE", 1e-9)
    monkeypatch.setattr(merging, "LOG_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, logger="spdclust"):
        merge_iteration(activations(random_dense(7, 50, 20)), config(), progress=True)
    assert capsys.readouterr().err == ""
    lines = [record.message for record in caplog.records if "merges/s" in record.message]
    assert re.fullmatch(
        r"19/19 merges, [0-9.]+ merges/s, 00:00 left, k 1, MDL [0-9.]+ bits, pair cost [0-9.-]+ bits",
        lines[-1],
    )


def test_a_terminal_gets_one_line(capsys, monkeypatch) -> None:
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    merge_iteration(activations(random_dense(7, 50, 20)), config(), progress=True)
    shown = capsys.readouterr().err
    assert "19/19 merges" in shown
    assert shown.count("\n") == 1


def test_random_state_survives_as_text() -> None:
    from spdclust.merge.engine import _generator_from_array, _generator_to_array

    rng, other = np.random.default_rng([3, 4]), np.random.default_rng(9)
    rng.random(5)
    _generator_from_array(_generator_to_array(rng), other)
    assert rng.random(3).tolist() == other.random(3).tolist()
