"""The groups are the known mechanisms where theory says so: docs/ground-truth.md, claim by claim."""

import importlib
import re

import numpy as np
import pytest
from workflow import REPOSITORY

RUNS = [0, *(pytest.param(run, marks=pytest.mark.slow) for run in (1, 2, 3))]


@pytest.fixture(scope="module")
def truth():
    """The benchmark that the page is made with."""
    return importlib.import_module("ground_truth")


@pytest.mark.parametrize("run", RUNS)
def test_tms_each_features_two_layers_are_one_group_and_nothing_else(truth, run):
    path = truth.CHECKPOINTS["tms"]
    mechanism = truth.read_mechanism(path)
    history, _ = truth.cluster(path, run)
    expected = {}
    for label in history.labels:
        expected.setdefault(mechanism.feature[label], set()).add(label)
    found = truth.groups_at(history, history.best_iteration())
    assert len(expected) == 4
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected.values()))


@pytest.mark.parametrize("run", RUNS)
def test_tms_with_identity_joins_layers_by_feature_and_features_only_by_a_shared_identity(truth, run):
    path = truth.CHECKPOINTS["tms_identity"]
    mechanism = truth.read_mechanism(path)
    history, shares = truth.cluster(path, run)
    groups = truth.groups_at(history, history.best_iteration())
    of = {label: number for number, group in enumerate(groups) for label in group}
    often = {label for label in history.labels if shares[label] > 0.03}
    # the two layers of a component of one feature are together
    both = [
        label for label in often if label.startswith("linear1:") and label.replace("1:", "2:", 1) in often
    ]
    assert len(both) >= 5
    for label in both:
        assert of[label] == of[label.replace("1:", "2:", 1)]
    for group in groups:
        features = {mechanism.feature[each] for each in group & often if each in mechanism.feature}
        identities = [each for each in group & often if each in mechanism.features]
        # an identity is with a feature that it passes on, and different features share an identity that passes both
        assert all(mechanism.features[each] & features for each in identities)
        if len(features) > 1:
            assert any(features <= mechanism.features[each] for each in identities)


@pytest.mark.parametrize("run", RUNS)
def test_one_layer_all_neurons_are_one_group_before_any_two_features_are_joined(truth, run):
    path = truth.CHECKPOINTS["resid_mlp1"]
    mechanism = truth.read_mechanism(path)
    # one component a feature, one a neuron: that is the mechanism
    assert len(mechanism.feature) == len(set(mechanism.feature.values())) == 79
    history, shares = truth.cluster(path, run)
    course = truth.neuron_course(history, shares, mechanism)
    always = [mechanism.neuron[label] for label in mechanism.neuron if shares[label] > truth.ALWAYS]
    assert len(always) == len(set(always)) >= 45
    done = int(np.argmax(course.gathered == course.n_always))
    assert course.n_always == 51
    assert course.gathered[done] == 51
    assert done == 49  # with not one merge of anything else before it
    assert course.wrong[done] == 0


@pytest.mark.slow
@pytest.mark.parametrize("run", range(4))
def test_two_layers_a_features_components_find_each_other_across_layers(truth, oracle, run):
    path = truth.CHECKPOINTS["resid_mlp2"]
    mechanism = truth.read_mechanism(path)
    history, _ = truth.cluster(path, run)
    precision, recall, both = truth.scores(truth.pairs_along(history, mechanism.feature))
    top = int(both.argmax())
    assert both[top] > 0.55
    assert precision[top] > 0.75
    assert recall[top] > 0.4
    for seed in range(5):
        by_chance = truth.pairs_along(history, truth.shuffled(mechanism.feature, seed))
        assert truth.scores(by_chance)[2][top] < 0.1


def test_the_page_names_what_is_shipped():
    page = (REPOSITORY / "docs" / "ground-truth.md").read_text()
    for path in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (REPOSITORY / "docs" / path).exists(), path
