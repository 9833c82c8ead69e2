"""Histories of the reference implementation: pair for pair where nothing is tied, cost for cost elsewhere."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from merging import activations

from spdclust.config.merge import MergeConfig
from spdclust.merge.activations import ProcessedActivations, components_to_merge
from spdclust.merge.engine import Engine
from spdclust.merge.kernels import layout, loop
from spdclust.merge.merging import merge_iteration
from spdclust.merge.sources import as_batch_source
from spdclust.merge.stepping import open_slots, replay

DATA = Path(__file__).parents[1] / "data" / "merge"
ORACLE = Path(__file__).resolve().parents[3] / "shared" / "oracle"


def settings(text: str) -> MergeConfig:
    given = json.loads(text)
    given["recompute_costs_every"] = given.get("recompute_costs_every") or 1
    return MergeConfig.model_validate({key: given[key] for key in given if key in MergeConfig.model_fields})


def agrees(found: np.ndarray, expected: np.ndarray) -> None:
    """Costs near zero carry the reference's float32 rounding, of the size of the largest cost."""
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6 * np.abs(expected).max())


def check(acts, config: MergeConfig, pairs: np.ndarray, costs: np.ndarray, mdl: np.ndarray | None) -> None:
    history = merge_iteration(acts, config)
    assert history.selected_pairs.tolist() == np.sort(pairs, axis=1).tolist()
    agrees(history.merge_pair_cost, costs)
    if mdl is not None:
        assert history.mdl_loss == pytest.approx(mdl, rel=1e-6)


@pytest.mark.parametrize("case", sorted(path.stem for path in DATA.glob("*_c*_n*.npz")))
def test_small_tie_free_histories_are_reproduced_pair_for_pair(case) -> None:
    with np.load(DATA / f"{case}.npz") as golden:
        dense = golden["activations"]
        if dense.dtype == np.uint8:
            dense = np.unpackbits(dense, axis=0)[: golden["shape"][0]]
        check(
            activations(dense),
            settings(str(golden["config"])),
            golden["pairs"],
            golden["cost"],
            golden["mdl"],
        )


@pytest.mark.parametrize("case", ["rce5_alpha1", "rce5_alpha10", "rceNone_alpha1"])
def test_histories_over_several_batches_are_reproduced_pair_for_pair(case) -> None:
    with np.load(DATA / "multibatch_c30.npz") as golden:
        dense = np.unpackbits(golden["activations"], axis=1)[:, : golden["shape"][1]]
        config = settings(str(golden[f"{case}_config"]))
        batches = [activations(batch) for batch in dense]
        check(batches, config, golden[f"{case}_pairs"], golden[f"{case}_cost"], None)


def iterations(path: Path) -> tuple[dict, np.ndarray, np.ndarray, np.ndarray]:
    history = json.loads(path.read_text())
    steps = history["iterations"]
    pairs = np.array([step["pair"] for step in steps])
    costs = np.array([step["merge_pair_cost"] for step in steps])
    return history, pairs, costs, np.array([step.get("mdl_loss_norm", np.nan) for step in steps], dtype=float)


@pytest.mark.parametrize("path", sorted(ORACLE.glob("synthetic/history_*.json")), ids=lambda path: path.stem)
def test_all_synthetic_histories_are_reproduced_pair_for_pair(path) -> None:
    history, pairs, costs, mdl = iterations(path)
    with np.load(path.with_name(f"{path.stem.replace('history', 'acts')}.npz")) as arrays:
        dense = next(arrays[name] for name in arrays if name.startswith("activations"))
    check(activations(dense), settings(json.dumps(history["merge_config"])), pairs, costs, mdl)


@pytest.mark.parametrize(
    "path",
    sorted(path for path in ORACLE.glob("multibatch_c*/history_*.json") if "rce1_" not in path.name),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_all_histories_over_several_batches_are_reproduced_pair_for_pair(path) -> None:
    history, pairs, costs, _ = iterations(path)
    files = sorted(path.parent.glob("batch_*.npz"))
    batches = [activations(np.load(file)["activations_bool"]) for file in files]
    check(batches, settings(json.dumps(history["merge_config"])), pairs, costs, None)


def real_activations(folder: Path) -> ProcessedActivations:
    summary = json.loads((folder / "summary.json").read_text())
    kind = "lower" if "global" in folder.name else "upper"
    with np.load(folder / "activations.npz") as arrays:
        modules = [name.removesuffix(f"|{kind}") for name in arrays if name.endswith(f"|{kind}")]
        order = sorted(modules) if kind == "lower" else [m for m in summary["module_order"] if m in modules]
        parts = [arrays[f"{m}|{kind}"].reshape(-1, arrays[f"{m}|{kind}"].shape[-1]) for m in order]
    labels = [f"{m}:{c}" for m, part in zip(order, parts, strict=True) for c in range(part.shape[1])]
    return ProcessedActivations.from_dense(np.concatenate(parts, axis=1), labels)


REAL = sorted(ORACLE.glob("[rtl]*-shared/history_*.json"))


def replay_figures(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Walk the reference's own pairs: excess over the best pair, and relative differences of cost and MDL."""
    history, pairs, costs, mdl = iterations(path)
    config = settings(json.dumps(history["merge_config"])).model_copy(update={"iters": None, "min_groups": 1})
    source = as_batch_source(real_activations(path.parent))
    kept = components_to_merge(source.labels, *source.component_stats(), config)
    assert len(kept) == history["n_components"]
    engine = Engine(source, kept, config, np.random.default_rng(0), threads=1)
    engine.advance(0)
    state, rules = engine.state, engine.rules
    names = list(range(len(kept)))
    excess = np.zeros(len(pairs))
    for t, (i, j) in enumerate(np.sort(pairs, axis=1).tolist()):
        log_k = math.log2(len(names) - 1)
        least = loop.least_value(state, rules, log_k)
        slot = {int(state.marks[layout.NAME, s]): int(s) for s in open_slots(state)}
        first, second = names[i], names.pop(j)
        value = layout.value_of(state.coact, state.figures, slot[first], slot[second], rules.alpha, log_k)
        excess[t] = (value - least) / rules.n_samples
        replay(state, rules, np.array([[first, second]]))
    log = state.log[:, : len(pairs)] / rules.n_samples
    found = log[layout.VALUE] + log[layout.COMMON]
    return excess, found - costs, log[layout.MDL] / mdl - 1


@pytest.mark.parametrize(
    "path",
    REAL,
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_along_the_reference_s_pairs_of_real_checkpoints_no_other_pair_is_better(path) -> None:
    excess, cost_difference, mdl_difference = replay_figures(path)
    # the language model's histories hold near-ties that float32 broke the other way
    allowed = 1e-10 if "lm_llama2L-shared" not in str(path) else 2e-3 if "thrNone" in path.name else 1e-5
    assert excess.max() < allowed
    assert excess.min() >= 0
    _, _, costs, _ = iterations(path)
    assert np.abs(cost_difference).max() < 2e-5 * max(1.0, np.abs(costs).max())
    assert np.abs(mdl_difference).max() < 1e-6
