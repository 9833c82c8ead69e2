"""How many runs and samples are enough, which activation threshold, which alpha? Curves on known groups.

    python benchmarks/settings_curves.py --json curves.json --figure docs/images/settings.png

Prints the tables of docs/choosing-settings.md, three ensembles each. Ensembles that the results file has
already are not measured again. The two-layer model is in the oracle folder; without it its curves are left
out.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from answers import note
from ground_truth import CHECKPOINTS, Mechanism, merge_settings, read_mechanism
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from partition_scores import score, without_singletons
from planted import planted
from recovery_models import describe, known_components

from spdclust import (
    ClusteringRunConfig,
    MergeConfig,
    ProcessedActivations,
    find_groups,
    merge_iteration,
)
from spdclust.core.atomic import atomic_path
from spdclust.groups.found import FoundGroups
from spdclust.models import load_model
from spdclust.plotting.style import PALETTE, save_figure, styled
from spdclust.sampling.batch_sampling import process_data_batch

LAWS = ("drop-out .3", "all")
MODEL = "resid_mlp2"
N_SEEDS = 3
RUNS, SAMPLES = (1, 2, 3, 5, 8), (1_000, 5_000, 20_000, 50_000)
MODEL_SAMPLES = 20_000
THRESHOLDS, ALPHAS = (0.01, 0.1, 0.3, 0.5), (0.1, 1.0, 10.0)
USUAL_RUNS, USUAL_SAMPLES, USUAL_THRESHOLD = 5, 20_000, 0.1
SCORES = {"f1": "F1", "precision": "precision", "recall": "recall"}


def find(runs: Sequence[ProcessedActivations], config: MergeConfig) -> FoundGroups:
    """Return the groups; null runs, which do not change them, are left out."""
    histories = [merge_iteration(run, config, number) for number, run in enumerate(runs)]
    return find_groups(histories, runs, n_null=0)


def over(found: FoundGroups, labels: Sequence[str]) -> np.ndarray:
    """Return the groups in the order of some labels; -1 for a component in no group."""
    of = dict(zip(found.labels, found.group_idxs, strict=True))
    return without_singletons(np.array([of.get(label, -1) for label in labels]))


def planted_curves(law: str, seed: int) -> Iterator[dict[str, Any]]:
    """Score ensembles of one law: runs, samples, and what alpha changes."""
    short = MergeConfig(iters=1)  # the merges say nothing about which groups are found

    def scored(n_runs: int, n_samples: int) -> dict[str, Any]:
        data = planted(law, seed, n_samples=n_samples, n_runs=n_runs)
        found = find(data.runs, short)
        scores = score(over(found, data.runs[0].labels), data.groups, data.primary)
        return {"n_groups": scores.n_groups} | {key: getattr(scores, key) for key in SCORES}

    for n_runs in RUNS:
        yield {"setting": "runs", "value": n_runs} | scored(n_runs, USUAL_SAMPLES)
    for n_samples in SAMPLES:
        yield {"setting": "samples", "value": n_samples} | scored(USUAL_RUNS, n_samples)
    data = planted(law, seed)
    groups: list[np.ndarray] = []
    for alpha in ALPHAS:
        found = find(data.runs, MergeConfig(iters=None, min_groups=1, alpha=alpha))
        groups.append(found.group_idxs)
        columns = found.columns
        yield {
            "setting": "alpha", "value": alpha, "same_groups": bool((groups[0] == groups[-1]).all()),
            "support": float(columns["support"].mean()),
            "formed_by_all": float((columns["runs_exact"] == USUAL_RUNS).mean()),
        }  # fmt: skip


def sample(path: Path, run: int) -> ProcessedActivations:
    """Sample the activations of one run of the model."""
    config = ClusteringRunConfig(model_path=str(path), n_tokens=MODEL_SAMPLES, batch_size=1000, device="cpu")
    return process_data_batch(config, load_model(path, device="cpu"), run=run, batch=0).activations


def model_curves(path: Path, mechanism: Mechanism, seed: int) -> Iterator[dict[str, Any]]:
    """Score ensembles of the model: runs, samples, activation threshold."""
    full = [sample(path, seed * max(RUNS) + run) for run in range(max(RUNS))]
    usual = first_samples(full[:USUAL_RUNS], USUAL_SAMPLES)
    known = known_components(usual, mechanism, USUAL_THRESHOLD)

    def scored(runs: Sequence[ProcessedActivations], threshold: float) -> dict[str, Any]:
        found = find(
            runs, merge_settings().model_copy(update={"iters": 1, "activation_threshold": threshold})
        )
        record = describe(over(found, runs[0].labels), known, runs[0].labels)
        return {key: record[key] for key in ("n_groups", *SCORES)}

    for n_runs in RUNS:
        runs = first_samples(full[:n_runs], USUAL_SAMPLES)
        yield {"setting": "runs", "value": n_runs} | scored(runs, USUAL_THRESHOLD)
    for n_samples in [n for n in SAMPLES if n <= MODEL_SAMPLES]:
        runs = first_samples(full[:USUAL_RUNS], n_samples)
        yield {"setting": "samples", "value": n_samples} | scored(runs, USUAL_THRESHOLD)
    for threshold in THRESHOLDS:
        yield {"setting": "threshold", "value": threshold} | scored(usual, threshold)


def first_samples(runs: Sequence[ProcessedActivations], n_samples: int) -> list[ProcessedActivations]:
    """Return the first samples of every run."""
    return [ProcessedActivations.from_sparse(run.matrix[:n_samples], run.labels) for run in runs]


def measure(known: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Score every ensemble that has no results yet; yield the results of one ensemble after the other."""
    done = {(each["data"], each["seed"]) for each in known}
    for data, seed in [(data, seed) for seed in range(N_SEEDS) for data in (*LAWS, MODEL)]:
        if (data, seed) in done:
            continue
        path = CHECKPOINTS[MODEL]
        if data in LAWS:
            curves = planted_curves(data, seed)
        elif path.is_dir():
            curves = model_curves(path, read_mechanism(path), seed)
        else:
            note(f"{MODEL} is left out: no {path}")
            continue
        yield [{"data": data, "seed": seed} | record for record in curves]
        note(f"{data}, seed {seed}: done")


def means(
    results: Sequence[dict[str, Any]], data: str, setting: str, key: str
) -> tuple[list[float], list[float], list[float]]:
    """Return the values of a setting, and mean and standard deviation over ensembles of a score."""
    chosen = [each for each in results if (each["data"], each["setting"]) == (data, setting)]
    at = list(dict.fromkeys(each["value"] for each in chosen))
    found = [np.array([each[key] for each in chosen if each["value"] == value]) for value in at]
    spread = [float(each.std(ddof=1)) if len(each) > 1 else 0.0 for each in found]
    return at, [float(each.mean()) for each in found], spread


def tables(results: Sequence[dict[str, Any]]) -> str:
    """Return one markdown table a setting."""
    parts = []
    for setting in dict.fromkeys(each["setting"] for each in results):
        chosen = [each for each in results if each["setting"] == setting]
        at = list(dict.fromkeys(each["value"] for each in chosen))
        lines = [
            f"| data | score | {' | '.join(f'{value:,}' for value in at)} |",
            "|---|---|" + "---|" * len(at),
        ]
        for data in dict.fromkeys(each["data"] for each in chosen):
            own = [each for each in chosen if each["data"] == data]
            for key in [key for key in own[0] if key not in ("data", "seed", "setting", "value")]:
                _, mean, spread = means(results, data, setting, key)
                digits = 1 if key == "n_groups" else 2
                cells = [f"{m:.{digits}f} ± {s:.{digits}f}" for m, s in zip(mean, spread, strict=True)]
                lines.append(f"| {data} | {SCORES.get(key, key)} | {' | '.join(cells)} |")
        parts.append("\n".join([f"### {setting}", "", *lines]))
    return "\n\n".join(parts)


@styled
def curves_figure(results: Sequence[dict[str, Any]]) -> Figure:
    """Return pair F1 against runs, samples and threshold, and what alpha changes."""
    figure = Figure(figsize=(13, 3.4), layout="constrained")
    panels = figure.subplots(1, 4)
    titles = {
        "runs": f"runs of {USUAL_SAMPLES:,} samples",
        "samples": f"samples in each of {USUAL_RUNS} runs",
        "threshold": "activation threshold",
        "alpha": "alpha",
    }
    for axes, (setting, title) in zip(panels, titles.items(), strict=True):
        key = "support" if setting == "alpha" else "f1"
        _draw(axes, results, setting, key)
        axes.set_xlabel(title)
        axes.set_ylabel("mean support in the merge trees" if setting == "alpha" else "pair F1")
    panels[0].legend(fontsize=8)
    return figure


def _draw(axes: Axes, results: Sequence[dict[str, Any]], setting: str, key: str) -> None:
    for color, data in zip(PALETTE, (*LAWS, MODEL), strict=False):
        at, mean, spread = means(results, data, setting, key)
        if at:
            axes.errorbar(at, mean, yerr=spread, fmt="o-", ms=4, lw=1.2, color=color, label=data)
    if setting != "runs":
        axes.set_xscale("log")
    else:
        axes.set_xticks(RUNS)
    axes.set_ylim(0, 1.04)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--json", type=Path, help="write the results here; read those that are there")
    options.add_argument("--figure", type=Path, help="draw the results here")
    given = options.parse_args()
    results = json.loads(given.json.read_text()) if given.json and given.json.exists() else []
    for found in measure(results):
        results += found
        if given.json:
            with atomic_path(given.json) as path:
                path.write_text(json.dumps(results, indent=1) + "\n")
    print(tables(results))
    if given.figure:
        save_figure(curves_figure(results), given.figure)


if __name__ == "__main__":
    main()
