import numpy as np
import pytest
from merging import activations, config, narrow_up_to, random_dense

from spdclust.core.errors import InputError
from spdclust.merge import engine
from spdclust.merge.merging import merge_iteration, repeat_merge
from spdclust.merge.view import MergeView

LAWS = [("range", 0.0), ("range", 0.3), ("mcmc", 0.5), ("exp_rank", 0.3)]
KINDS = [
    {},
    {"activation_threshold": None},
    {"recompute_costs_every": 4},
    {"recompute_costs_every": 4, "between_batches": "mask"},
]


def seen(view: MergeView) -> dict[str, np.ndarray]:
    groups = np.arange(view.k_groups)
    first, second = np.meshgrid(groups, groups, indexing="ij")
    return {
        "group_idxs": view.group_idxs.copy(),
        "coactivations": view.coactivations.copy(),
        "costs": view.costs.copy(),
        "activities": view.activities.copy(),
        "some_coactivations": view.coactivations_of(first, second),
        "some_costs": view.costs_of(first, second),
    }


def merged(law, kind):
    dense = [
        random_dense(seed, 60, 24, scalar=kind.get("activation_threshold", 0) is None) for seed in (1, 2)
    ]
    views = {}
    settings = config(*law, **kind, min_groups=4)
    batches = [activations(each) for each in dense]
    history = merge_iteration(
        batches,
        settings,
        seed=3,
        callback=lambda view: views.update({view.iteration: seen(view)}),
        callback_at=3,
    )
    return batches, history, views


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("law", LAWS)
def test_repeated_states_are_those_that_the_callback_saw(law, kind):
    batches, history, views = merged(law, kind)
    assert len(views) > 4
    with narrow_up_to(5):
        for view in repeat_merge(batches, history, views):
            for name, array in seen(view).items():
                np.testing.assert_array_equal(array, views[view.iteration][name], err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("law", LAWS)
def test_a_state_by_itself_is_the_one_that_the_callback_saw(law, kind):
    batches, history, views = merged(law, kind)
    for iteration, expected in views.items():
        (view,) = repeat_merge(batches, history, [iteration])
        assert view.n_samples == batches[0].n_samples
        assert view.record["mdl_loss"] == history.mdl_loss[iteration]
        assert view.record["merge_pair_cost"] == history.merge_pair_cost[iteration]
        for name, array in seen(view).items():
            np.testing.assert_array_equal(array, expected[name], err_msg=f"{name} {iteration}")


def test_merges_before_the_first_state_are_not_repeated(monkeypatch):
    acts = activations(random_dense(1, 60, 24))
    history = merge_iteration(acts, config(min_groups=4))
    done = []
    repeat = engine.replay
    monkeypatch.setattr(engine, "replay", lambda *args: (done.append(len(args[2])), repeat(*args)))
    assert [view.k_groups for view in repeat_merge(acts, history, [12, 15])] == [11, 8]
    assert done == [1, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_asked_for_one_by_one_are_the_entries_of_the_matrices(kind):
    _, _, views = merged(LAWS[0], kind)
    for view in views.values():
        np.testing.assert_array_equal(view["some_coactivations"], view["coactivations"])
        np.testing.assert_array_equal(np.diag(view["coactivations"]), view["activities"])
        off = ~np.eye(len(view["costs"]), dtype=bool)
        np.testing.assert_allclose(view["some_costs"][off], view["costs"][off], rtol=1e-9, atol=1e-9)


def test_what_is_watched_is_the_whole_history_in_order():
    dense, parts = random_dense(5, 50, 20), []
    history = merge_iteration(
        activations(dense),
        config(min_groups=2),
        seed=1,
        watch=lambda first, figures: parts.append((first, figures)),
    )
    assert [first for first, _ in parts] == np.cumsum([0, *(len(f["names"]) for _, f in parts)])[:-1].tolist()
    for name in ("mdl_loss", "merge_pair_cost"):
        np.testing.assert_array_equal(np.concatenate([f[name] for _, f in parts]), getattr(history, name))
    for name, record in history.records.items():
        np.testing.assert_array_equal(np.concatenate([f[name] for _, f in parts]), record)


def test_other_activations_are_refused():
    acts = activations(random_dense(1, 30, 10))
    history = merge_iteration(acts, config())
    with pytest.raises(InputError, match="not those that were merged"):
        next(repeat_merge(activations(random_dense(1, 30, 11)), history, [0]))


def test_sets_at_another_threshold_are_rejected():
    acts = activations(random_dense(1, 30, 10, scalar=True))
    history = merge_iteration(acts, config(activation_threshold=0.5))
    assert next(repeat_merge(acts.as_sets(0.5), history, [0])).iteration == 0
    with pytest.raises(InputError, match="only the sets of active components at another threshold are known"):
        next(repeat_merge(acts.as_sets(0.4), history, [0]))


def test_iterations_that_are_over_or_not_there_are_refused():
    acts = activations(random_dense(1, 30, 10))
    history = merge_iteration(acts, config())
    for wanted in ([-1], [history.n_iterations], [3, 1]):
        with pytest.raises(InputError, match="no such iteration"):
            list(repeat_merge(acts, history, wanted))
