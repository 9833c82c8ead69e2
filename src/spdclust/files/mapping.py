"""The group of every component, as JSON for the viewer of the reference implementation."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.core.types import Int, Labels

VIEWERS = ("run", "ensemble", "param-decomp")
"""Viewers of the reference implementation: of single runs, the older one of ensembles, and that of its
successor, of single runs again."""


def cluster_mapping(group_idxs: Int[np.ndarray, " components"], labels: Labels) -> dict[str, int | None]:
    """Return the group number of every component by label; None if the component is alone.

    Example:
        >>> cluster_mapping(np.array([0, 1, 0]), ["m:0", "m:1", "m:2"])
        {'m:0': 0, 'm:1': None, 'm:2': 0}
    """
    sizes = np.bincount(group_idxs, minlength=1)
    return {
        label: int(group) if sizes[group] > 1 else None
        for label, group in zip(labels, group_idxs.tolist(), strict=True)
    }


def mapping_record(
    clusters: Mapping[str, int | None],
    *,
    made_by: str,
    model: str,
    iteration: int,
    run: int | None = None,
    notes: str = "",
    viewer: str = "run",
) -> dict[str, Any]:
    """Return the record for a viewer; each viewer rejects any other key.

    Example:
        >>> mapping_record({"m:0": None}, made_by="demo/run_0", model="wandb:e/p/runs/s-1", iteration=4)
        {'clustering_run_id': 'demo/run_0', 'notes': '', 'spd_run': 'e/p/s-1', 'iteration': 4,
         'clusters': {'m:0': None}}
        >>> record = mapping_record({}, made_by="demo", model="m", iteration=4, viewer="ensemble")
        >>> list(record)
        ['ensemble_id', 'notes', 'spd_run', 'n_iterations', 'run_idx', 'clusters']

    Args:
        clusters: see `cluster_mapping`.
        made_by: the ensemble, including the run for the mapping of a single run.
        model: the decomposed model, as in `model_path`; W&B runs become `entity/project/run`.
        iteration: the merge after which the grouping is taken.
        run: number of the run; None for the consensus (−1 in the older viewer's file).
        notes: free text.
        viewer: a name in `VIEWERS`: `run` writes `clustering_run_id`, `spd_run` and `iteration`; `ensemble`
            `ensemble_id`, `run_idx` and `n_iterations`; `param-decomp` `pd_run` for `spd_run`.

    Raises:
        InputError: no such viewer.
    """
    if viewer not in VIEWERS:
        raise InputError("unknown viewer", field="viewer", found=viewer, allowed=", ".join(VIEWERS))
    name = model_name(model)
    if viewer == "ensemble":
        return {
            "ensemble_id": made_by,
            "notes": notes,
            "spd_run": name,
            "n_iterations": iteration,
            "run_idx": -1 if run is None else run,
            "clusters": dict(clusters),
        }
    return {
        "clustering_run_id": made_by,
        "notes": notes,
        "pd_run" if viewer == "param-decomp" else "spd_run": name,
        "iteration": iteration,
        "clusters": dict(clusters),
    }


def model_name(model: str) -> str:
    """Return the name of a model in the viewer: `entity/project/run` for W&B, otherwise the unchanged path.

    Example:
        >>> model_name("wandb:goodfire/spd/runs/s-38e1a3e2"), model_name("resources/resid_mlp1")
        ('goodfire/spd/s-38e1a3e2', 'resources/resid_mlp1')
    """
    if not model.startswith("wandb:"):
        return model
    parts = model.removeprefix("wandb:").split("/")
    return "/".join(part for position, part in enumerate(parts) if not (position == 2 and part == "runs"))


def save_mapping(record: Mapping[str, Any], path: str | Path) -> None:
    """Write `cluster_mapping_<of>_<cut>.json`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_mapping({"cut": "least_mdl", "groups": [["a:0", "a:1"]]}, f"{folder}/mapping.json")
        ...     json.loads(Path(folder, "mapping.json").read_text())["groups"]
        [['a:0', 'a:1']]

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps(dict(record), indent=1, ensure_ascii=False) + "\n")
