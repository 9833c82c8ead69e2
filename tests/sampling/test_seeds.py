"""Streams of random numbers: different seeds give different ones, and ordinary seeds those they always gave."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spdclust.core.types import Seed, make_generator

WORD = 2**32


def first_draw(seed: Seed) -> int:
    return int(make_generator(seed).integers(2**63))


@pytest.mark.parametrize(
    "seeds",
    [
        [(WORD, 0), (0, 1)],  # base_seed 2**32, run 0, and base_seed 0, run 1
        [(WORD, 1), (0, 1, 1)],
        [(3 * WORD + 5, 0), (5, 3)],
        [WORD, (0, 1), (WORD, 0), (WORD, 1)],
        [(0, WORD), (0, 0, 1), (0, WORD, 0)],
        [(7, 5 * WORD + 1), (7, 1, 5), (7, 1, 5 * WORD)],
        [2**96 + 1, (1, 0, 0, 1), (2**96 + 1, 0)],
    ],
)
def test_large_seeds_share_no_stream_with_others(seeds: list[Seed]) -> None:
    draws = [first_draw(seed) for seed in seeds]
    assert len(set(draws)) == len(seeds)


def test_no_two_runs_of_large_and_small_base_seeds_collide() -> None:
    bases = [0, 1, 2, WORD - 1, WORD, WORD + 1, 2 * WORD, 2**53 - 1]
    draws = {(base, run): first_draw((base, run)) for base, run in itertools.product(bases, range(40))}
    assert len(set(draws.values())) == len(draws)


@given(st.lists(st.integers(0, WORD - 1), min_size=1, max_size=5), st.booleans())
def test_ordinary_seeds_give_what_they_always_gave(parts: list[int], single: bool) -> None:
    seed: Seed = parts[0] if single else tuple(parts)
    expected = np.random.default_rng(parts[0] if single else parts).integers(2**63, size=3)
    np.testing.assert_array_equal(make_generator(seed).integers(2**63, size=3), expected)
