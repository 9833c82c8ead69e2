"""The files of the groups that hold: what is written is read back, whatever labels and numbers are in it."""

import csv
import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from found_groups import assert_same_groups, parsed_newick

from spdclust.core.errors import InputError
from spdclust.example_ensemble import example_found
from spdclust.files.ensemble_folder import GROUPS
from spdclust.files.groups import _newick, groups_record, load_groups, save_groups
from spdclust.groups.found import COLUMNS, FoundGroups, SharedMembers

NAMES = [
    "a'b:0",
    "a,b(c):1",
    "[&bits=9]:2",
    "ü \t;:3",
    '"m":4',
    "m ':5",
    "''",
    "a:b:c",
    "\\n",
    "(((",
    "_",
    "1.5",
]


def with_labels(labels):
    return replace(example_found(), labels=list(labels))


def without_evidence():
    """Return what support alone gives: columns of NaN, no tree, no null runs, runs without evidence."""
    found = example_found()
    nothing = {name: np.full(3, np.nan) for name in COLUMNS if name not in ("size", "support", "runs_exact")}
    return replace(
        found, columns=found.columns | nothing, bits={}, null_groups=np.empty(0, dtype=np.int64),
        null_groups_busy=np.empty(0, dtype=np.int64), tree=None,
        bits_saved_runs=np.full((3, 2), np.nan), shared=SharedMembers(*[np.empty(0, int)] * 2, *[np.empty(0)] * 2),
        warnings=("The batches are gone.",),
    )  # fmt: skip


def without_groups():
    found = example_found()
    return FoundGroups(
        labels=found.labels, group_idxs=np.arange(12), columns={name: np.empty(0) for name in COLUMNS}, n_groups=0,
        bits={"alone": 1.0, "answer": 1.0}, null_groups=np.array([0, 0]),
        null_groups_busy=np.array([2, 0]), bits_saved_runs=np.empty((0, 2)),
        shared=SharedMembers(*[np.empty(0, int)] * 2, *[np.empty(0)] * 2),
    )  # fmt: skip


@pytest.mark.parametrize("found", [example_found(), with_labels(NAMES), without_evidence(), without_groups()])
def test_what_is_written_is_read_back(found, tmp_path):
    save_groups(found, tmp_path, ensemble="a/b", provenance={"spdclust": "1"})
    assert_same_groups(found, load_groups(tmp_path / "groups.json"))
    assert_same_groups(found, load_groups(tmp_path))
    assert "NaN" not in (tmp_path / "groups.json").read_text()
    assert json.loads((tmp_path / "groups.json").read_text())["provenance"] == {"spdclust": "1"}
    again = tmp_path / "again"
    save_groups(load_groups(tmp_path), again, ensemble="a/b", provenance={"spdclust": "1"})
    for name in GROUPS.values():
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes()


def test_shared_members_of_several_groups_keep_their_order(tmp_path):
    shared = SharedMembers(
        np.array([9, 3, 10]), np.array([1, 0, 1]), np.array([0.3, 0.2, 0.1]), np.array([0.5, 0.4, 0.6])
    )
    found = replace(example_found(), shared=shared)
    save_groups(found, tmp_path, ensemble="a/b")
    assert_same_groups(found, load_groups(tmp_path))


def test_the_table_holds_each_group_with_lists_as_json(tmp_path):
    save_groups(with_labels(NAMES), tmp_path, ensemble="a/b")
    with (tmp_path / "groups.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["group", *COLUMNS, "members", "shared_members", "name"]
    assert [int(row["group"]) for row in rows] == [0, 1, 2]
    assert json.loads(rows[0]["members"]) == ["a'b:0", "a,b(c):1", "''"]
    assert json.loads(rows[0]["shared_members"]) == [{"label": "[&bits=9]:2", "bits": 0.01, "share": 0.05}]
    assert [float(row["bits_saved"]) for row in rows] == [0.5, 0.4, 0.3]
    digest = hashlib.sha256(b"''\na'b:0\na,b(c):1").hexdigest()
    assert rows[0]["name"] == "g" + digest[:10]
    record = json.loads((tmp_path / "groups.json").read_text())
    assert [group["name"] for group in record["groups"]] == [row["name"] for row in rows]


def test_the_mapping_has_the_same_numbers_and_none_for_components_alone(tmp_path):
    save_groups(example_found(), tmp_path, ensemble="a/b", model="wandb:e/p/runs/s-1")
    mapping = json.loads((tmp_path / "cluster_mapping_groups.json").read_text())
    assert (mapping["clustering_run_id"], mapping["spd_run"], mapping["iteration"]) == (
        "a/b/groups",
        "e/p/s-1",
        -1,
    )
    assert {label: group for label, group in mapping["clusters"].items() if group == 1} == dict.fromkeys(
        example_found().members(1), 1
    )
    assert [label for label, group in mapping["clusters"].items() if group is None] == [
        "attn:5",
        "mlp:4",
        "mlp:5",
    ]


@pytest.mark.parametrize("labels", [example_found().labels, NAMES])
def test_the_tree_survives_newick_with_its_evidence(labels):
    found = with_labels(labels)
    nodes = parsed_newick(_newick(found))
    members = frozenset(found.members(1))
    assert nodes[members] == {"bits": "0.4", "bits_se": "0.03", "group": "1", "length": 0.8}
    assert nodes[frozenset(labels)] == {}  # the root: no candidate, no branch above it
    assert {node for node in nodes if len(node) == 1} == {frozenset([label]) for label in labels}
    assert sum(len(node) > 1 for node in nodes) == 11
    assert {node for node, at in nodes.items() if "group" in at} == {
        frozenset(found.members(g)) for g in range(3)
    }


def test_older_files_have_the_groups_of_nodes_by_their_members(tmp_path):
    save_groups(example_found(), tmp_path, ensemble="groups")
    record = json.loads((tmp_path / "groups.json").read_text())
    del record["tree"]["group"]
    (tmp_path / "groups.json").write_text(json.dumps(record))
    assert_same_groups(load_groups(tmp_path), example_found())


def test_without_a_tree_each_group_is_a_node_below_the_root():
    nodes = parsed_newick(_newick(without_evidence()))
    assert [nodes[frozenset(example_found().members(group))] for group in range(3)] == [
        {"group": str(g)} for g in range(3)
    ]
    assert len(nodes) == 12 + 3 + 1


def test_a_deep_tree_is_written_without_recursion():
    n = 5000
    found = without_groups()
    tree = example_found().tree
    chain = np.array([[0, 1], *([n + row, row + 2] for row in range(n - 2))])
    nothing = np.full(n - 1, np.nan)
    deep = replace(
        tree,
        children=chain,
        height=np.arange(n - 1.0),
        bits=nothing,
        bits_se=nothing,
        group=np.full(n - 1, -1),
    )
    text = _newick(replace(found, labels=[f"m:{i}" for i in range(n)], group_idxs=np.arange(n), tree=deep))
    assert text.count("(") == text.count(")") == n - 1
    assert text.startswith("(" * (n - 1) + "'m:0':0.0,'m:1'")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda r: r["groups"][0]["members"].append("attn:5"), "given twice"),
        (lambda r: r["groups"][0]["members"].append("x:0"), "unknown"),
        (lambda r: r["in_no_group"].pop(), "component missing"),
        (lambda r: r["groups"].pop(), "not numbered"),
        (lambda r: r["groups"][1].pop("lift"), "lift"),
        (lambda r: r["tree"]["height"].pop(), "differ in length"),
        (lambda r: r["tree"]["group"].pop(), "differ in length"),
        (lambda r: r["tree"]["group"].__setitem__(1, 2), "each group at one node"),
        (lambda r: r["tree"]["group"].__setitem__(0, 0), "each group at one node"),
        (lambda r: r["tree"]["children"][0].__setitem__(0, 15), "not a tree"),
        (lambda r: r["tree"]["children"][0].__setitem__(0, 1), "not a tree"),
        (lambda r: r.__setitem__("format", "other"), "format"),
        (lambda r: r.__setitem__("labels", ["attn:0"] * 12), "label given twice"),
    ],
)
def test_parts_that_do_not_fit_are_one_line_with_the_file(change, problem, tmp_path):
    record = groups_record(example_found())
    change(record)
    path = tmp_path / "groups.json"
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=re.escape(problem)) as raised:
        load_groups(path)
    assert str(path) in str(raised.value)
