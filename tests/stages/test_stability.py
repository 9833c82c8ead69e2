"""At which iteration the stage of the mapping of one run cuts its history."""

import pytest

from spdclust.core.errors import InputError
from spdclust.example_ensemble import example_history
from spdclust.stages.stability import _iteration_of


def test_a_history_is_cut_at_its_shortest_description_or_a_number_of_groups_or_merges():
    history = example_history()
    cuts = ("least_mdl", "groups_2", "merges_3", "iteration_2")
    assert [_iteration_of(history, cut) for cut in cuts] == [7, 9, 2, 2]
    with pytest.raises(InputError):
        _iteration_of(history, "groups_12")
