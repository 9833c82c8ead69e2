"""The recovery benchmark's results as markdown tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from answers import Row
from planted import INDEPENDENT, LAWS

SCORES = {
    "f1": "F1", "precision": "precision", "recall": "recall", "ari": "ARI", "ami": "AMI", "exact": "exact",
    "exact_shared": "with shared", "close": "Jaccard ≥ .75", "false": "false", "cpu_s": "CPU s",
}  # fmt: skip
SHARES = ("f1", "precision", "recall", "ari", "ami", "exact", "exact_shared", "close")
OF_MODELS = {
    "precision": "precision", "recall": "recall", "f1": "F1", "exact": "exact", "wrong_pairs": "wrong pairs",
    "n_groups": "groups", "always": "often active together", "beside_always": "others with them",
    "cpu_s": "CPU s",
}  # fmt: skip


def planted_tables(results: Sequence[dict[str, Any]]) -> str:
    """Return the mean over laws; F1, exact and false by law; and the groups where there are none."""
    rows = _rows(results)
    laws = [law for law in LAWS if any(each["law"] == law for each in results)]
    empty = [law for law in INDEPENDENT if any(each["law"] == law for each in results)]
    n_seeds = len({each["seed"] for each in results})
    parts = []
    if laws:
        title = f"Mean over {len(laws)} laws, ± standard deviation over {n_seeds} seeds"
        cells = {row: [_cell(values(results, row, laws, key), key) for key in SCORES] for row in rows}
        parts.append(_titled(title, [*SCORES.values()], cells))
    for names, key, title in [
        (laws, "f1", "F1 by law"),
        (laws, "exact", "Exact by law"),
        (laws, "false", "False by law"),
        (empty, "n_groups", "Groups reported where there are none"),
    ]:
        if names:
            cells = {row: [_cell(values(results, row, [law], key), key) for law in names] for row in rows}
            parts.append(_titled(title, names, cells))
    if any(each.get("sure") for each in results):
        parts.append(_sure_table(results, laws))
    return "\n\n".join(parts)


def _sure_table(results: Sequence[dict[str, Any]], laws: Sequence[str]) -> str:
    """Return by law how many of the groups with `bits_saved` > 2 standard errors are true, over all seeds."""
    cells = {}
    for row in _rows([each for each in results if each.get("sure")]):
        chosen = [each for each in results if (each["answer"], each["mode"]) == row]
        counts = [
            [sum(each[key] for each in chosen if each["law"] == law) for key in ("sure_true", "sure")]
            for law in laws
        ]
        cells[row] = [f"{true} of {sure}" for true, sure in counts]
    return _titled("Groups that save more than two standard errors: how many are true", laws, cells)


def model_tables(results: Sequence[dict[str, Any]]) -> str:
    """Return one table a model: mean over ensembles ± standard deviation."""
    parts = []
    for model in dict.fromkeys(each["model"] for each in results):
        chosen = [each for each in results if each["model"] == model]
        keys = [key for key in OF_MODELS if key in chosen[0]]
        cells = {
            row: [
                _cell(np.array([each[key] for each in chosen if (each["answer"], each["mode"]) == row]), key)
                for key in keys
            ]
            for row in _rows(chosen)
        }
        n_seeds = len({each["seed"] for each in chosen})
        title = f"{model}, ± standard deviation over {n_seeds} ensembles"
        parts.append(_titled(title, [OF_MODELS[key] for key in keys], cells))
    return "\n\n".join(parts)


def values(results: Sequence[dict[str, Any]], row: Row, laws: Sequence[str], key: str) -> np.ndarray:
    """Return one value a seed: the mean over laws."""
    chosen = [each for each in results if (each["answer"], each["mode"]) == row and each["law"] in laws]
    seeds = sorted({each["seed"] for each in chosen})
    return np.array([np.mean([each[key] for each in chosen if each["seed"] == seed]) for seed in seeds])


def _rows(results: Sequence[dict[str, Any]]) -> list[Row]:
    return list(dict.fromkeys((each["answer"], each["mode"]) for each in results))


def _cell(found: np.ndarray, key: str) -> str:
    digits = 3 if key in SHARES else 1
    mean = f"{found.mean():.{digits}f}"
    return mean if len(found) == 1 or key == "cpu_s" else f"{mean} ± {found.std(ddof=1):.{digits}f}"


def _titled(title: str, head: Sequence[str], cells: dict[Row, list[str]]) -> str:
    lines = [["answer", "from", *head], *([*row, *each] for row, each in cells.items())]
    first, *others = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([f"### {title}", "", first, "|" + "---|" * len(lines[0]), *others])
