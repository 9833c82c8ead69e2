"""The lines that `spdclust groups` and `spdclust match` print, from results made up for this."""

import logging
import time

import pytest

from spdclust.commands import cli
from spdclust.commands.groups import _cohesion_lines, _formation_lines, _match_table
from spdclust.example_ensemble import (
    example_activations,
    example_found,
    example_history,
    write_example_ensemble,
)
from spdclust.groups.explain import explain_group
from spdclust.groups.found import group_overlaps, match_groups


def test_the_similarity_within_and_between_groups():
    assert _cohesion_lines(example_found()) == [
        "",
        "Jaccard similarity of two components: mean, median, share of pairs that are never active together",
        "  inside a group    0.900  0.900   0.0 %",
        "  of two groups     0.100  0.100  25.0 %",
    ]


def test_how_a_group_came_together():
    members, batches = ["attn:0", "attn:5"], [example_activations(0)]
    formation = explain_group([example_history(0)], members, 0, batches)
    assert _formation_lines(formation, "run_0", 1) == [
        "run_0, 200 samples; both: samples on which both parts are active, either: any of them",
        "merge  sizes  both  either  Jaccard  runs  parts",
        "   11  1 + 1     5      70    0.071   1/1  attn:0 | attn:5  (+10 of other groups)",
    ]


def test_matched_groups():
    members = [[["a:0", "a:1"], ["b:0", "b:1"]], [["a:0", "a:1", "a:2"]]]
    overlaps = group_overlaps(*members)
    assert _match_table(match_groups(overlaps), members, overlaps) == [
        "first  second  sizes  shared  Jaccard  cosine",
        "    0       0    2 3       2    0.667       –",
        "    1       –    2 –       –        –       –",
    ]


@pytest.mark.parametrize(("short", "shown"), [(0.0, True), (1e9, False)])
def test_the_steps_of_a_long_search_for_groups_are_shown(short, shown, tmp_path, monkeypatch, caplog):
    ensemble = write_example_ensemble(tmp_path)
    monkeypatch.setattr(cli, "_SHORT", short)
    assert cli.main(["groups", str(ensemble.folder), "--again"]) == 0
    steps = [message for name, _, message in caplog.record_tuples if name == "spdclust.stages.groups.steps"]
    assert ("reading samples" in steps and steps[-1] == "null run 3 of 3") == shown


def test_a_first_step_that_takes_long_is_shown_before_it_ends(monkeypatch, caplog):
    monkeypatch.setattr(cli, "_SHORT", 0.05)
    steps = logging.getLogger("spdclust.stages.groups.steps")
    with cli._slow_steps_shown():
        steps.info("over soon")
        steps.info("reading samples")
        for _ in range(200):
            if caplog.messages:
                break
            time.sleep(0.05)
        assert caplog.messages == ["reading samples"]
        steps.info("building trees")
    steps.info("not shown by other commands")
    assert caplog.messages == ["reading samples", "building trees"]
