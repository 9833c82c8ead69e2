"""Which components take part: by module, and by being alive in some batch."""

import numpy as np
import pytest
from merging import config

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.merge.activations import ProcessedActivations, components_to_merge, in_modules
from spdclust.merge.merging import merge_iteration

LABELS = ["h.0.mlp.in:0", "h.0.mlp.in:1", "h.0.mlp.out:0", "h.1.mlp.in:0", "h.10.attn:0"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, [0, 1, 2, 3, 4]),
        ("h.0.", [0, 1, 2]),
        ("h.1", [3, 4]),
        ("*.mlp.in", [0, 1, 3]),
        ("h.?.mlp.*", [0, 1, 2, 3]),
        (["h.0.mlp.out", "*.attn"], [2, 4]),
        ("h.[1]*", [3, 4]),
    ],
)
def test_modules_are_named_by_prefix_glob_or_list(wanted, expected) -> None:
    assert np.flatnonzero(in_modules(LABELS, wanted)).tolist() == expected


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            "mlp",  # in names, but at the start of none
            "module_name_filter: no module matches (found: mlp; "
            "allowed: h.0.mlp.in, h.0.mlp.out, h.1.mlp.in, h.10.attn)",
        ),
        (
            "h.2",
            "module_name_filter: no module matches (found: h.2; "
            "allowed: h.0.mlp.in, h.0.mlp.out, h.1.mlp.in, h.10.attn)",
        ),
        (
            ["h.0", "*.mpl.*"],
            "module_name_filter: no module matches (found: *.mpl.*; "
            "allowed: h.0.mlp.in, h.0.mlp.out, h.1.mlp.in, h.10.attn)",
        ),
        (
            [],
            "module_name_filter: no module is named (found: []; "
            "allowed: h.0.mlp.in, h.0.mlp.out, h.1.mlp.in, h.10.attn)",
        ),
    ],
)
def test_a_filter_that_names_no_module_is_refused(wanted, message) -> None:
    with pytest.raises(InputError) as caught:
        in_modules(LABELS, wanted)
    assert str(caught.value) == message


def test_a_component_dead_in_every_batch_is_left_out_one_dead_in_some_stays() -> None:
    maxima = np.array([[0.0, 0.5, 0.0009], [0.2, 0.0, 0.0]])
    labels = ["a:0", "a:1", "a:2"]
    assert components_to_merge(labels, maxima, maxima, MergeConfig()).tolist() == [0, 1]


def test_the_mean_can_decide_instead_of_the_maximum() -> None:
    maxima, means = np.array([[0.9, 0.9]]), np.array([[0.0001, 0.4]])
    settings = MergeConfig(filter_dead_stat="mean")
    assert components_to_merge(["a:0", "a:1"], maxima, means, settings).tolist() == [1]


def test_a_threshold_of_zero_keeps_all_and_the_limit_itself_is_alive() -> None:
    maxima = np.array([[0.0, 0.1]], dtype=np.float32)
    labels = ["a:0", "a:1"]
    assert components_to_merge(labels, maxima, maxima, MergeConfig(filter_dead_threshold=0)).tolist() == [
        0,
        1,
    ]
    # 0.1 in float32 is compared in float32, as the activations are
    assert components_to_merge(labels, maxima, maxima, MergeConfig(filter_dead_threshold=0.1)).tolist() == [1]


def test_no_component_alive_is_refused_with_the_largest_value_found() -> None:
    with pytest.raises(InputError) as caught:
        components_to_merge(
            ["a:0", "b:0"], np.array([[0.0004, 0.5]]), np.zeros((1, 2)), MergeConfig(module_name_filter="a")
        )
    assert str(caught.value) == (
        "filter_dead_threshold: no component is alive (found: largest max of 1 components is 0.0004; "
        "allowed: a threshold of at most that, not 0.001)"
    )


def test_the_history_names_the_components_that_were_kept() -> None:
    dense = np.array([[1, 0, 1, 1, 0.0], [1, 0, 0, 1, 1.0]])
    acts = ProcessedActivations.from_dense(dense, LABELS)
    history = merge_iteration(acts, config(filter_dead_threshold=0.1, module_name_filter="h.0"))
    assert history.labels == ["h.0.mlp.in:0", "h.0.mlp.out:0"]
    assert history.selected_pairs.tolist() == [[0, 1]]
