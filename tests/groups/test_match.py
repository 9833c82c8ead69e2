"""Groups of two ensembles matched: by members against brute force, by weights against full weight matrices."""

import itertools
import shutil

import numpy as np
import pytest
import torch

from spdclust.core.errors import InputError
from spdclust.groups.found import group_cosines, group_overlaps, match_groups
from spdclust.models.checkpoint import read_state_dict, resolve_checkpoint
from spdclust.models.modules import component_weights


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2)])
def test_the_matching_has_the_largest_sum_of_all(seed, shape):
    similarity = np.random.default_rng(seed).random(shape)
    small, large = sorted(shape)
    tall = similarity if shape[0] == small else similarity.T
    best = max(
        sum(tall[i, p] for i, p in enumerate(chosen))
        for chosen in itertools.permutations(range(large), small)
    )
    pairs = match_groups(similarity)
    matched = [(first, second) for first, second in pairs if first is not None and second is not None]
    assert sum(similarity[pair] for pair in matched) == pytest.approx(best)
    assert [first for first, _ in pairs if first is not None] == list(range(shape[0]))
    assert sorted(second for _, second in pairs if second is not None) == list(range(shape[1]))


def test_groups_that_have_nothing_in_common_stay_apart():
    assert match_groups(np.array([[0.0, np.nan], [-0.5, 0.1]])) == [(0, None), (1, 1), (None, 0)]
    assert match_groups(np.empty((2, 0))) == [(0, None), (1, None)]
    assert match_groups(np.empty((0, 2))) == [(None, 0), (None, 1)]


def test_overlaps_are_jaccard_similarities_of_the_members():
    overlaps = group_overlaps([["a", "b"], ["c"]], [["b", "a"], ["c", "d"], ["e"]])
    assert overlaps.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]]
    assert group_overlaps([], [["a"]]).shape == (0, 1)


def random_weights(seed, sizes):
    rng = np.random.default_rng(seed)
    return {m: (rng.normal(size=(d, c)), rng.normal(size=(c, e))) for m, (d, c, e) in sizes.items()}


def matrices(members, weights):
    """Return the weight matrix of a group in every module, one after the other."""
    total = {module: np.zeros((v.shape[0], u.shape[1])) for module, (v, u) in weights.items()}
    for label in members:
        module, index = label.split(":")
        v, u = weights[module]
        total[module] += np.outer(v[:, int(index)], u[int(index)])
    return np.concatenate([matrix.ravel() for matrix in total.values()])


def test_cosines_are_those_of_the_weight_matrices_of_the_groups():
    one = random_weights(0, {"in": (4, 5, 3), "out": (3, 4, 2)})
    other = random_weights(1, {"in": (4, 7, 3), "out": (3, 2, 2)})
    first = [["in:0", "in:4", "out:1"], ["out:2", "out:3"], ["in:1"]]
    second = [["in:6", "in:5"], ["out:0", "in:0", "in:2"]]
    expected = [
        [a @ b / np.sqrt((a @ a) * (b @ b)) for b in (matrices(group, other) for group in second)]
        for a in (matrices(group, one) for group in first)
    ]
    found = group_cosines(first, second, one, other)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found[1, 0] == 0.0  # no module in common
    np.testing.assert_allclose(np.diag(group_cosines(first, first, one, one)), 1.0)


def test_a_group_without_weights_has_no_cosine():
    weights = {"m": (np.array([[1.0, 0.0]]), np.array([[1.0], [1.0]]))}
    found = group_cosines([["m:0"], ["m:1"]], [["m:0"]], weights, weights)
    assert found[0, 0] == 1.0
    assert np.isnan(found[1, 0])


@pytest.mark.parametrize("label", ["x:0", "m:2", "m:x", "m"])
def test_a_component_without_weights_is_one_line(label):
    weights = {"m": (np.ones((1, 2)), np.ones((2, 1)))}
    with pytest.raises(InputError, match=f"no weights in the model .found: {label}"):
        group_cosines([[label]], [["m:0"]], weights, weights)


def test_models_of_other_sizes_are_one_line():
    one, other = random_weights(0, {"m": (4, 5, 3)}), random_weights(0, {"m": (4, 5, 2)})
    with pytest.raises(InputError, match=r"m: module has different sizes.*4 to 3 and 4 to 2"):
        group_cosines([["m:0"]], [["m:0"]], one, other)


def test_the_components_of_a_module_add_up_to_its_weights():
    path = "tests/data/models/tms_5-2"
    state = read_state_dict(resolve_checkpoint(path).weights)
    weights = component_weights(path)
    assert sorted(weights) == ["linear1", "linear2"]
    for module, (v, u) in weights.items():
        target = state[f"target_model.{module}.weight"].numpy()
        np.testing.assert_allclose((v @ u).T, target, atol=0.01)


@pytest.mark.parametrize("lost", [["linear1"], ["linear1", "linear2"]])
def test_a_checkpoint_that_lacks_half_of_a_component_is_one_line(tmp_path, lost):
    shutil.copytree("tests/data/models/tms_5-2", tmp_path / "model")
    (file,) = (tmp_path / "model").glob("model_*.pth")
    state = torch.load(file, weights_only=True)
    for module in lost:
        del state[f"_components.{module}.U"]
    torch.save(state, file)
    with pytest.raises(InputError, match="no components in this checkpoint"):
        component_weights(tmp_path / "model")
