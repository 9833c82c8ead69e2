"""Which answer recovers known groups: planted groups, data without groups, models with known mechanisms.

    python benchmarks/recovery.py --json planted.json             planted and independent data, three seeds
    python benchmarks/recovery.py --models --json models.json     models whose weights show the mechanism
    python benchmarks/recovery.py --large --json large.json       2,000 components, 50,000 samples, one seed
    python benchmarks/recovery.py --figure recovery.png --json planted.json     draws that result

Every answer gets the same activations in the same process. Needs the extra `bench`.
"""

import argparse
import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from answers import Answer, answer_all, names, note
from partition_scores import score
from planted import INDEPENDENT, LAWS, planted
from recovery_figure import draw
from recovery_models import model_results
from recovery_tables import model_tables, planted_tables

from spdclust import MergeConfig
from spdclust.core.atomic import atomic_path

SMALL, LARGE = (600, 20_000, 5), (2_000, 50_000, 5)
TRUTH = "known groups, one a component", "the truth"
"""The true partition, each component in the group that it belongs to first.

Where components belong to two groups it finds every first group, but hardly one that has further members.
"""


def planted_results(
    laws: Sequence[str], seeds: Sequence[int], size: tuple[int, int, int], only: Callable[[str], bool]
) -> Iterator[dict[str, Any]]:
    """Score every answer on every law and seed."""
    config = MergeConfig(iters=None, min_groups=1)
    _warm_up(config, only)
    for law in laws:
        for seed in seeds:
            data = planted(law, seed, *size)
            found = answer_all(data.runs, config, only)
            for (answer, mode), each in (found | {TRUTH: Answer(data.primary, 0.0)}).items():
                record = {"law": law, "seed": seed, "answer": answer, "mode": mode}
                scores = asdict(score(each.groups, data.groups, data.primary, each.shared, each.sure))
                yield record | scores | {"cpu_s": round(each.cpu_s, 3)}
            note(f"{law}, seed {seed}: done")


def _warm_up(config: MergeConfig, only: Callable[[str], bool]) -> None:
    """Let every answer compile or import what it needs, so that no timing contains it."""
    answer_all(planted("drop-out .1", 0, 60, 2_000, 2).runs, config, only)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--seeds", type=int, default=3, help="number of ensembles of each law or model")
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--laws", nargs="+", choices=[*LAWS, *INDEPENDENT], default=[*LAWS, *INDEPENDENT])
    options.add_argument("--answers", nargs="+", metavar="WORD", help="only answers whose names have a word")
    options.add_argument("--models", action="store_true", help="models instead of planted data")
    options.add_argument("--large", action="store_true", help="one ensemble of 2,000 x 50,000 of each law")
    options.add_argument("--json", type=Path, help="write the results here; with --figure, read them")
    options.add_argument("--figure", type=Path, help="draw the results in --json")
    given = options.parse_args()
    if given.figure:
        if not given.json:
            options.error("--figure needs --json, the results to draw")
        draw(json.loads(given.json.read_text())["results"], given.figure)
        return
    words = given.answers or [""]
    for word in words:
        if not any(word in name for name in names()):
            options.error(f"unknown answer {word!r} (allowed: part of {', '.join(names())})")

    def only(name: str) -> bool:
        return any(word in name for word in words)

    if only("Leiden") and not importlib.util.find_spec("leidenalg"):
        options.error("Leiden needs the extra: pip install -e '.[bench]'")
    size, n_seeds = (LARGE, 1) if given.large else (SMALL, given.seeds)
    seeds = range(given.first_seed, given.first_seed + n_seeds)
    if given.models:
        results, content = list(model_results(seeds, only)), {}
        print(model_tables(results))
    else:
        results = list(planted_results(given.laws, seeds, size, only))
        content = {"size": dict(zip(("components", "samples", "runs"), size, strict=True))}
        print(planted_tables(results))
    if given.json:
        with atomic_path(given.json) as path:
            path.write_text(json.dumps(content | {"results": results}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
