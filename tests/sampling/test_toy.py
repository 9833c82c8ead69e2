"""Toy inputs: the distribution that the models were trained on, the same bytes for the same seed."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spdclust.core.errors import InputError
from spdclust.models.config import LanguageTask, ToyTask
from spdclust.sampling.inputs import N_ACTIVE, _toy_features, generate_inputs

N = 20_000


def task(name="resid_mlp", n_features=10, feature_probability=0.1, **more):
    return ToyTask(name=name, n_features=n_features, feature_probability=feature_probability, **more)


@pytest.mark.parametrize(("name", "low", "high"), [("resid_mlp", -1, 1), ("tms", 0, 1)])
def test_each_feature_is_active_for_itself_and_uniform_where_it_is(name, low, high):
    x = _toy_features(task(name), N, seed=0)
    active = x != 0
    sd = np.sqrt(0.1 * 0.9 / N)
    assert np.abs(active.mean(axis=0) - 0.1).max() < 5 * sd
    both = (active[:, 0] & active[:, 1]).mean()
    assert abs(both - 0.01) < 5 * np.sqrt(0.01 / N)
    values = np.sort(x[active])
    assert low <= values[0]
    assert values[-1] < high
    # largest distance between the distribution found and the uniform one (Kolmogorov-Smirnov)
    steps = (np.arange(len(values)) + 0.5) / len(values)
    assert np.abs((values - low) / (high - low) - steps).max() < 2 / np.sqrt(len(values))


@pytest.mark.parametrize("kind", sorted(N_ACTIVE))
@pytest.mark.parametrize("name", ["resid_mlp", "tms"])
def test_fixed_numbers_of_features_are_active_and_every_feature_as_often(kind, name):
    x = _toy_features(task(name, data_generation_type=kind), N, seed=0)
    n_active = N_ACTIVE[kind]
    assert ((x != 0).sum(axis=1) == n_active).all()
    share = n_active / 10
    assert np.abs((x != 0).mean(axis=0) - share).max() < 5 * np.sqrt(share * (1 - share) / N)
    assert (x.min() < 0) == (name == "resid_mlp")


def test_synced_features_are_active_together_with_values_of_their_own():
    x = _toy_features(task(synced_inputs=[[0, 3], [5, 6, 7]]), N, seed=0)
    active = x != 0
    assert (active[:, 0] == active[:, 3]).all()
    assert (active[:, 5] == active[:, 6]).all()
    assert (active[:, 6] == active[:, 7]).all()
    # active where any of them would have been
    assert abs(active[:, 0].mean() - (1 - 0.9**2)) < 0.02
    assert abs(active[:, 5].mean() - (1 - 0.9**3)) < 0.02
    assert abs(active[:, 1].mean() - 0.1) < 0.02
    together = active[:, 0]
    assert abs(np.corrcoef(x[together, 0], x[together, 3])[0, 1]) < 0.1
    assert abs(np.corrcoef(active[:, 0], active[:, 5])[0, 1]) < 0.05


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 40),
    st.integers(0, 2**40),
    st.sampled_from(["at_least_zero_active", "exactly_two_active"]),
    st.floats(0, 1),
)
def test_same_seed_gives_same_bytes_and_no_global_random_numbers_are_used(n, seed, kind, probability):
    settings_ = task(feature_probability=probability, data_generation_type=kind, synced_inputs=[[1, 2]])
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = generate_inputs(settings_, n, seed)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - to see that it does not matter
    second = generate_inputs(settings_, n, seed)
    assert first.dtype == torch.float32
    assert first.shape == (n, 10)
    assert first.numpy().tobytes() == second.numpy().tobytes()
    torch.manual_seed(0)
    assert torch.equal(before, torch.get_rng_state())


def test_bytes_are_the_same_as_ever():
    x = _toy_features(task(n_features=100, feature_probability=0.01), 200, seed=1003)
    assert hashlib.sha256(x.tobytes()).hexdigest().startswith("6051cf0efafec29f")


def test_other_seeds_give_other_samples():
    assert not np.array_equal(_toy_features(task(), 50, seed=0), _toy_features(task(), 50, seed=1))


def test_probabilities_of_none_and_all():
    assert not _toy_features(task(feature_probability=0), 50, seed=0).any()
    assert _toy_features(task(feature_probability=1), 50, seed=0).all()


def test_more_active_features_than_there_are_are_refused():
    with pytest.raises(InputError) as error:
        generate_inputs(task(n_features=2, data_generation_type="exactly_three_active"), 5, seed=0)
    assert (
        "data_generation_type: asked for more active features than the model has "
        "(found: exactly_three_active; allowed: at most 2)"
    ) in str(error.value)


def test_a_feature_that_is_active_with_two_others_is_refused():
    with pytest.raises(ValueError, match=r"synced_inputs: found 1 twice \(allowed: each feature once\)"):
        task(synced_inputs=[[0, 1], [1, 2]])


def test_a_feature_that_the_model_lacks_is_refused():
    with pytest.raises(ValueError, match=r"synced_inputs: found 10 \(allowed: 0 to 9\)"):
        task(synced_inputs=[[0, 10]])


def test_negative_numbers_of_samples_are_refused():
    with pytest.raises(InputError, match=r"n_samples: too small \(found: -1; allowed: 0 or more\)"):
        generate_inputs(task(), -1, seed=0)


def test_tokens_are_not_made_up():
    lm = LanguageTask(name="lm", vocab_size=5, folder=Path())
    with pytest.raises(
        InputError, match=r"task_name: tokens come from a dataset.* \(found: lm; allowed: resid"
    ):
        generate_inputs(lm, 5, seed=0)
