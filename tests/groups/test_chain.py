"""Random ensembles from batches to histories, groups and their files and back, against slow plain twins.

With components that some runs lack, silent and always active ones, single samples, two components, runs on the
same samples, several batches, every sampler.
"""

import csv
import itertools
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import groups_plain as plain
import numpy as np
import pytest
from found_groups import assert_same_groups, parsed_newick
from merging import steps
from scipy.stats import binomtest

from spdclust.commands.cli import main
from spdclust.config.merge import SAMPLER_KWARGS, MergeConfig
from spdclust.core.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.ensemble_folder import GROUPS, EnsembleFolder
from spdclust.files.groups import load_groups, save_groups
from spdclust.files.histories import load_merge_histories
from spdclust.groups.evidence import FALSE_ALARM, evidence_of_groups
from spdclust.groups.find import find_groups
from spdclust.groups.found import FoundGroups, group_name
from spdclust.groups.members import FULL_RELATIVE_RATE
from spdclust.groups.samples import Folds, fold_samples
from spdclust.groups.similarity import MIN_SIMILARITY, add_sums, average_tree, pair_sums
from spdclust.groups.trees import Tree
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.history import MergeHistory
from spdclust.merge.merging import merge_iteration
from spdclust.stages.groups import groups_of
from spdclust.stages.merge import merge

ROUNDING = 1e-5
"""Sums of pairs have single precision."""


@dataclass
class Run:
    """One run in memory; `same_as` is the first run with the same samples, perhaps this one."""

    labels: list[str]
    parts: list[np.ndarray]
    same_as: int
    history: MergeHistory

    def batches(self) -> list[ProcessedActivations]:
        return [ProcessedActivations.from_dense(part, self.labels) for part in self.parts]


def random_config(rng: np.random.Generator) -> MergeConfig:
    method = str(rng.choice(list(SAMPLER_KWARGS)))
    ((argument, _),) = SAMPLER_KWARGS[method].items()
    return MergeConfig(
        activation_threshold=plain.THRESHOLD,
        alpha=float(rng.choice([0, 1, 5])),
        iters=rng.choice([None, None, 1, 3]),
        min_groups=int(rng.choice([1, 1, 2, 3])),
        filter_dead_threshold=float(rng.choice([0, 0.001, 0.3])),
        module_name_filter=rng.choice([None, "m"]),
        merge_pair_sampling_method=method,
        merge_pair_sampling_kwargs={argument: float(rng.choice([0.01, 0.3, 1.0]))},
        recompute_costs_every=int(rng.choice([1, 1, 2])),
        between_batches=rng.choice(["update", "mask"]),
    )


def merged(run: int, labels: list[str], parts: list[np.ndarray], rng, place: EnsembleFolder, digest: str):
    """Write the batches of a run, and merge them from files and in memory: to the same history."""
    files = []
    for number, part in enumerate(parts):
        files.append(place.batches(run) / f"batch_{number}.pt")
        made_by = {"inputs_digest": f"{digest}.{number}"}
        ActivationBatch.from_dense(part, labels, seed=number, provenance=made_by).save(files[-1])
    batches = [ProcessedActivations.from_dense(part, labels) for part in parts]
    config = random_config(rng)
    try:
        history = merge_iteration(batches, config, (7, run), threads=1)
    except InputError:  # nothing is alive, or every pair is masked
        config = MergeConfig(
            activation_threshold=plain.THRESHOLD, iters=None, min_groups=1, filter_dead_threshold=0
        )
        history = merge_iteration(batches, config, (7, run), threads=1)
    target, seconds = place.history(run), 0.0 if run == 0 else 300.0  # at every chance, or never
    merge(
        files, config.resolved(), (7, run),
        history=target, metrics=target.with_name("metrics.csv"), threads=2, checkpoint_seconds=seconds,
    )  # fmt: skip
    assert sorted(path.name for path in target.parent.iterdir()) == ["history.zip", "metrics.csv"]
    return history


def planted_ensemble(rng: np.random.Generator) -> plain.Ensemble:
    """Three groups with members that miss some of their events, and components that are active with two of them."""
    n = int(rng.integers(7, 13))
    labels, source = plain.names(n), np.arange(n) % 3
    second = np.where(rng.random(n) < 0.3, rng.integers(3, size=n), source)
    own, batches = [], []
    for _ in range(rng.integers(1, 5)):
        parts = []
        few = [3] if rng.random() < 0.3 else []  # fewer than the blocks of a single run
        for n_samples in [*few, *rng.choice([200, 400], size=rng.integers(1, 3))]:
            events = rng.random((n_samples, 3)) < 0.1
            on = (events[:, source] | events[:, second]) & (rng.random((len(events), n)) < 0.8)
            values = np.where(on, 0.2 + rng.random(on.shape), 0.0).astype(np.float32)
            parts.append(ProcessedActivations.from_dense(values, labels))
        own.append([label for label in labels if rng.random() > 0.05])
        batches.append(parts)
    return plain.Ensemble(labels, own, batches, [])


def random_runs(seed: int, place: EnsembleFolder) -> list[Run]:
    rng = np.random.default_rng(seed)
    if seed % 3 == 2:
        ensemble = planted_ensemble(rng)
    else:
        ensemble = plain.random_ensemble(seed, n_components=2 if seed % 6 == 0 else None)
    one_sample = seed % 5 == 1 and len(ensemble.own) > 1
    runs: list[Run] = []
    for run, (own, batches) in enumerate(zip(ensemble.own, ensemble.batches, strict=True)):
        all_labels = batches[0].labels
        columns = [i for i, label in enumerate(all_labels) if label in own or label not in ensemble.labels]
        labels = [all_labels[i] for i in columns]
        parts = [batch.matrix.toarray()[:, columns] for batch in batches]
        parts = [parts[0][:1]] if one_sample else parts
        same_as = run
        if run and not one_sample and rng.random() < 0.2:
            same_as, labels, parts = runs[-1].same_as, runs[-1].labels, runs[-1].parts
        history = merged(run, labels, parts, rng, place, f"samples {same_as}")
        runs.append(Run(labels, parts, same_as, history))
    return runs


def check_history(run: Run, stored: MergeHistory) -> None:
    history = run.history
    assert (stored.labels, stored.config) == (history.labels, history.config)
    for name in ("selected_pairs", "mdl_loss", "merge_pair_cost"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(history, name))
    assert stored.records.keys() == history.records.keys()
    for name, values in history.records.items():
        np.testing.assert_array_equal(stored.records[name], values)
    assert len(set(history.labels)) == history.n_components
    if len(run.parts) == 1:
        dense = run.parts[0][:, [run.labels.index(label) for label in history.labels]]
        for step in steps(dense, history):
            assert history.mdl_loss[step.iteration] * len(dense) == pytest.approx(step.mdl_after, abs=1e-6)


def folds_of(runs: list[Run], labels: list[str]) -> tuple[list[np.ndarray], Folds]:
    """The active values of all components, dense and as folds: of runs on the same samples once."""
    dense, once = [], sorted({run.same_as for run in runs})
    own = [
        sorted({label for each in runs if each.same_as == run for label in each.history.labels})
        for run in once
    ]
    for run, has in zip(once, own, strict=True):
        parts = []
        for part in runs[run].parts:
            values = np.zeros((len(part), len(labels)), dtype=np.float32)
            for i, label in enumerate(labels):
                if label in has:
                    column = part[:, runs[run].labels.index(label)]
                    values[:, i] = np.where(column > np.float32(plain.THRESHOLD), column, 0)
            parts.append(values)
        dense.append(np.concatenate(parts))
    if len(once) == 1:
        dense = plain.one_run_in_blocks(parts)
    return dense, fold_samples([runs[run].batches() for run in once], labels, own, plain.THRESHOLD)


def check_average_linkage(children: np.ndarray, height: np.ndarray, similar: np.ndarray) -> None:
    """Each merge joins two of the most similar parts that are left, until none are similar enough."""
    roots = {i: [i] for i in range(len(similar))}

    def most_similar() -> float:
        pairs = itertools.combinations(roots.values(), 2)
        return max((float(similar[np.ix_(a, b)].mean()) for a, b in pairs), default=0.0)

    for t, (a, b) in enumerate(children.tolist()):
        at = similar[np.ix_(roots[a], roots[b])].mean()
        assert at == pytest.approx(1 - height[t], abs=ROUNDING)
        assert at >= most_similar() - ROUNDING
        assert at >= MIN_SIMILARITY - ROUNDING
        roots[len(similar) + t] = roots.pop(a) + roots.pop(b)
    assert most_similar() <= MIN_SIMILARITY + ROUNDING


def best_evidence(dense: list[np.ndarray], members: list[int]) -> np.ndarray:
    return np.array(max(plain.evidence(dense, sorted(members)).values(), key=sum))


def check_candidates(found: FoundGroups, dense: list[np.ndarray], folds: Folds) -> tuple[Tree, list[int]]:
    """The tree, the evidence of its nodes and which were chosen; return the tree and the chosen nodes."""
    tree = Tree(len(found.labels), found.tree.children, found.tree.height)
    check_average_linkage(tree.children, tree.height, plain.similarity(np.concatenate(dense)))
    sums = [pair_sums(folds, [fold], threads=1) for fold in range(len(dense))]
    in_all, without = add_sums(sums), []
    for fold in range(len(dense)):
        other = average_tree(in_all.without(sums[fold]))  # which overwrites them
        rest = np.concatenate([each for i, each in enumerate(dense) if i != fold])
        check_average_linkage(other.children, other.height, plain.similarity(rest))
        without.append(
            {frozenset(other.members(other.n_leaves + t).tolist()) for t in range(len(other.children))}
        )
    bits, judged = {}, {}
    n_samples = np.array([len(each) for each in dense])
    for row in range(len(tree.children)):
        node = tree.n_leaves + row
        members = frozenset(tree.members(node).tolist())
        in_others = np.array([members in nodes for nodes in without])
        assert np.isnan(found.tree.bits[row]) == np.isnan(found.tree.bits_se[row]) == (not in_others.any())
        if in_others.any():
            bits[node], judged[node] = best_evidence(dense, list(members)), in_others
            per_sample = bits[node] / n_samples
            assert found.tree.bits[row] == pytest.approx(per_sample.mean(), abs=1e-9)
            error = per_sample.std(ddof=1) / np.sqrt(len(dense))
            assert found.tree.bits_se[row] == pytest.approx(error, abs=1e-9)
    n_codes = max(1, sum(len(plain.gates(int(tree.sizes[node]))) for node in bits))
    chosen = plain.chosen(tree, bits, n_codes, judged, FALSE_ALARM, plain.regret(dense))
    assert (tree.n_leaves + np.flatnonzero(found.tree.chosen)).tolist() == chosen
    return tree, chosen


def check_members(found: FoundGroups, dense: list[np.ndarray], folds: Folds, nodes: list[np.ndarray]) -> None:
    """Groups are the chosen nodes and what joins or completes them; the rest that is active with them is shared."""
    groups = [np.sort(node) for node in nodes]
    gates = evidence_of_groups(folds, groups, threads=1).at_least.tolist()
    rows = plain.memberships(dense, groups, gates, FALSE_ALARM) if groups else {}
    taken = {i for group in groups for i in group.tolist()}
    n_before = len(taken)
    for i, g in sorted(rows, key=lambda row: (-sum(rows[row][0]), row)):
        if i not in taken:
            taken.add(i)
            groups[g] = np.sort(np.append(groups[g], i))
    if len(taken) > n_before:
        rows = plain.memberships(dense, groups, gates, FALSE_ALARM)
    full = {
        (i, g) for (i, g), (_, _, relative) in rows.items() if i in taken and relative >= FULL_RELATIVE_RATE
    }
    completed = [np.array(each) for each in plain.completed([group.tolist() for group in groups], full)]
    if changed := [
        g for g, pair in enumerate(zip(groups, completed, strict=True)) if not np.array_equal(*pair)
    ]:
        groups = completed
        for g in changed:
            gates[g] = int(evidence_of_groups(folds, [groups[g]], threads=1).at_least[0])
        rows = plain.memberships(dense, groups, gates, FALSE_ALARM)
    mine = [frozenset(found.member_idxs(g).tolist()) for g in range(found.n_groups)]
    assert set(mine) == {frozenset(group.tolist()) for group in groups}
    assert [mine[g] for g in found.tree.group[found.tree.chosen]] == [
        frozenset(each.tolist()) for each in groups
    ]
    n_all = sum(map(len, dense))
    expected = {(i, frozenset(groups[g].tolist())): value for (i, g), value in rows.items() if i in taken}
    shared = found.shared
    assert {
        (i, mine[g]) for i, g in zip(shared.component.tolist(), shared.group.tolist(), strict=True)
    } == set(expected)
    for i, g, bits, share in zip(
        shared.component.tolist(), shared.group, shared.bits, shared.share, strict=True
    ):
        assert bits == pytest.approx(sum(expected[i, mine[g]][0]) / n_all, abs=1e-9)
        assert share == pytest.approx(expected[i, mine[g]][1])


def formed(ever: list[set[frozenset[int]]], sizes: list[int], least: int) -> list[frozenset[int]]:
    """The largest groups that so many runs form, without all that a run has."""
    counts = Counter(
        group for groups, size in zip(ever, sizes, strict=True) for group in groups if len(group) < size
    )
    enough = [group for group, count in counts.items() if count >= least]
    return [group for group in enough if not any(group < other for other in enough)]


def check_columns(found: FoundGroups, dense: list[np.ndarray], runs: list[Run]) -> None:
    number = {label: i for i, label in enumerate(found.labels)}
    own = [np.array([number[label] for label in run.history.labels]) for run in runs]
    ever = [plain.clusters_ever(run.history.selected_pairs, has) for run, has in zip(runs, own, strict=True)]
    n_samples = np.array([len(each) for each in dense])
    saved = []
    for g in range(found.n_groups):
        members = found.member_idxs(g).tolist()
        group, gate = frozenset(members), int(found.columns["active_members"][g])
        of_gates = plain.evidence(dense, members)
        assert sum(of_gates[gate]) == pytest.approx(max(map(sum, of_gates.values())), abs=1e-8)
        np.testing.assert_allclose(found.bits_saved_runs[g], of_gates[gate] / n_samples, atol=1e-9)
        saved.append(sum(of_gates[gate]))
        expected = plain.described(dense, members, gate)
        expected["runs_exact"] = sum(group in groups for groups in ever)
        leaves = [frozenset([i]) for i in members]
        expected["support"] = np.mean(
            [max(len(group & each) / len(group | each) for each in [*groups, *leaves]) for groups in ever]
        )
        for name, value in expected.items():
            assert found.columns[name][g] == pytest.approx(value, rel=1e-5, abs=1e-7), name
        interval = binomtest(expected["runs_exact"], len(runs)).proportion_ci(0.95, method="exact")
        assert found.columns["runs_exact_low"][g] == pytest.approx(interval.low)
        assert found.columns["runs_exact_high"][g] == pytest.approx(interval.high)
    assert (np.diff(saved) <= 1e-8).all()
    alone, n_all = plain.bits_alone(dense).sum(), n_samples.sum()
    others = {
        "answer": [found.member_idxs(g).tolist() for g in range(found.n_groups)],
        "formed_by_most": formed(ever, list(map(len, own)), len(runs) // 2 + 1),
        "formed_by_all": formed(ever, list(map(len, own)), len(runs)),
    }
    first = runs[0].history
    if first.n_iterations:
        at = first.group_idxs(first.best_iteration())
        others["least_mdl"] = [part for g in set(at.tolist()) if len(part := own[0][at == g].tolist()) > 1]
    assert found.bits["alone"] == pytest.approx(alone / n_all)
    assert set(found.bits) == {"alone", *others}
    for name, groups in others.items():
        bits = alone - sum(best_evidence(dense, list(group)).sum() for group in groups)
        assert found.bits[name] == pytest.approx(bits / n_all, abs=1e-9), name


def check_files(found: FoundGroups, place: EnsembleFolder, folder: Path) -> None:
    """What is in the files, one by one, and that they are written again from one of them."""
    assert_same_groups(found, load_groups(place.folder))
    members = [found.members(g) for g in range(found.n_groups)]
    with (place.folder / GROUPS["table"]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [json.loads(row["members"]) for row in rows] == members
    assert [row["name"] for row in rows] == [group_name(group) for group in members]
    assert [[each["label"] for each in json.loads(row["shared_members"])] for row in rows] == [
        found.shared_with(g) for g in range(found.n_groups)
    ]
    for name, column in found.columns.items():
        assert [float(row[name] or "nan") for row in rows] == pytest.approx(
            column.tolist(), rel=0, abs=0, nan_ok=True
        )
    mapping = json.loads((place.folder / GROUPS["mapping"]).read_text())
    grouped = {label: g for g, group in enumerate(members) for label in group}
    assert mapping["clusters"] == {label: grouped.get(label) for label in found.labels}
    nodes = parsed_newick((place.folder / GROUPS["tree"]).read_text())
    holds = [frozenset([label]) for label in found.labels]
    tree = found.tree
    for row, parts in enumerate(tree.children.tolist()):
        holds.append(holds[parts[0]] | holds[parts[1]])
        for part in parts:
            low = tree.height[part - len(found.labels)] if part >= len(found.labels) else 0.0
            assert nodes[holds[part]]["length"] == pytest.approx(max(0.0, tree.height[row] - low), abs=1e-9)
        at = nodes[holds[-1]]
        assert float(at.get("bits", "nan")) == pytest.approx(tree.bits[row], rel=0, abs=0, nan_ok=True)
        assert float(at.get("bits_se", "nan")) == pytest.approx(tree.bits_se[row], rel=0, abs=0, nan_ok=True)
        assert int(at.get("group", -1)) == tree.group[row]
    assert set(nodes) - {frozenset(found.labels)} == set(holds) - {frozenset(found.labels)}
    record = json.loads((place.folder / GROUPS["record"]).read_text())
    save_groups(load_groups(place.folder), folder, ensemble=place.name, provenance=record["provenance"])
    for name in GROUPS.values():
        assert (folder / name).read_bytes() == (place.folder / name).read_bytes()


def check_mapping(run: int, history: MergeHistory, place: EnsembleFolder, file: Path) -> None:
    """The mapping of a run in the middle of its merge, as the command writes it."""
    at = history.n_iterations // 2
    command = [
        "mapping",
        place.folder,
        "--run",
        run,
        "--cut",
        f"iteration_{at}",
        "--model",
        "m",
        "--output",
        file,
    ]
    assert main(list(map(str, command))) == 0
    groups = [{label} for label in history.labels]
    for i, j in history.selected_pairs[: at + 1].tolist():
        groups[i] |= groups.pop(j)
    clusters = json.loads(file.read_text())["clusters"]
    assert set(clusters) == set(history.labels)
    assert {label for label, group in clusters.items() if group is None} == set().union(
        *(group for group in groups if len(group) == 1)
    )
    for group in groups:
        if len(group) > 1:
            (number,) = {clusters[label] for label in group}
            assert {label for label, each in clusters.items() if each == number} == group


def check_ensemble(seed: int, folder: Path) -> FoundGroups:
    place = EnsembleFolder(folder / "sampling" / "demo")
    runs = random_runs(seed, place)
    histories = [run.history for run in runs]
    for run, stored in zip(runs, load_merge_histories(place.folder), strict=True):
        check_history(run, stored)
    found, computed = groups_of(place.folder, threads=2)
    assert computed
    same = {run.same_as: run.batches() for run in runs}
    assert_same_groups(found, find_groups(histories, [same[run.same_as] for run in runs], threads=1))
    assert found.labels == sorted({label for history in histories for label in history.labels})
    dense, folds = folds_of(runs, found.labels)
    assert found.settings["n_samples"] == [len(each) for each in dense]
    tree, chosen = check_candidates(found, dense, folds)
    check_members(found, dense, folds, [tree.members(node) for node in chosen])
    check_columns(found, dense, runs)
    check_files(found, place, folder / "again")
    if histories[-1].n_iterations:
        check_mapping(len(runs) - 1, histories[-1], place, folder / "mapping.json")
    return found


@pytest.mark.parametrize("seed", range(4))
def test_every_number_from_batches_to_files_is_that_of_the_plain_twins(seed, tmp_path):
    check_ensemble(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 2000, 50))
def test_many_more_of_these(first, tmp_path):
    n_groups = n_shared = 0
    for seed in range(first, first + 50):
        try:
            found = check_ensemble(seed, tmp_path / str(seed))
        except InputError as error:
            if "a run has too few samples" not in str(error):  # one run, too short to be split
                raise
            continue
        n_groups += found.n_groups
        n_shared += len(found.shared.component)
    assert n_groups >= 20
