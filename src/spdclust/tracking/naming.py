"""What W&B runs are called: ids, tags, settings, and the decomposition that they build on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spdclust.config.tracking import TrackingSettings
from spdclust.core.errors import InputError
from spdclust.files.archive import digest_of
from spdclust.models.wandb_paths import parse_wandb_path
from spdclust.tracking.tracker import RunDescription

_LONGEST_NAME = 100


def member_id(ensemble: str, run: int, made_of: Mapping[str, Any]) -> str:
    """Return the id of the W&B run of one merge: the same merge always has the same.

    Example:
        >>> member_id("resid_mlp1/demo", 3, {"seed": [0, 3]})
        'resid_mlp1-demo-run_3-9134b36c'

    Args:
        ensemble: folder of the ensemble, below the results.
        run: number of the run.
        made_of: settings, seed and digests of batches, as `provenance_of` gives them.
    """
    return f"{_readable(ensemble)}-run_{run}-{digest_of(dict(made_of))[:8]}"


def ensemble_id(ensemble: str, job_type: str, made_of: Any) -> str:
    """Return the id of a W&B run of a whole ensemble.

    Example:
        >>> ensemble_id("resid_mlp1/demo", "report", ["ab"]).rpartition("-")[0]
        'resid_mlp1-demo-report'

    Args:
        ensemble: folder of the ensemble, below the results.
        job_type: what the run holds.
        made_of: plain JSON that says what it was made from.
    """
    return f"{_readable(ensemble)}-{job_type}-{digest_of([job_type, made_of])[:8]}"


def _readable(ensemble: str) -> str:
    # what ids must not hold is replaced; the digest tells apart what is cut off
    text = "".join(letter if letter.isalnum() or letter in "._-~" else "-" for letter in ensemble)
    return text[-_LONGEST_NAME:]


def provenance_of(merge_config: Mapping[str, Any], seed: Any, batches: Any) -> dict[str, Any]:
    """Return what a merge is made of, as `member_id` takes it.

    Example:
        >>> provenance_of({"alpha": 1.0}, seed=(0, 3), batches=["1f2e"])
        {'merge_config': {'alpha': 1.0}, 'seed': (0, 3), 'batches': ['1f2e']}
    """
    return {"merge_config": dict(merge_config), "seed": seed, "batches": list(batches)}


def parent_of(model: str | None) -> dict[str, str]:
    """Return the W&B run of the decomposed model by id, path and address; nothing where it is a local path.

    Example:
        >>> parent_of("wandb:goodfire/spd/runs/s-38e1a3e2")["id"], parent_of("resources/resid_mlp1")
        ('s-38e1a3e2', {})

    Args:
        model: `model_path` of the run, `experiment_key` resolved.
    """
    try:
        run = None if model is None else parse_wandb_path(model)
    except InputError:  # no reason to stop here: the model is not read
        return {}
    if run is None:
        return {}
    host = os.environ.get("WANDB_BASE_URL", "https://wandb.ai").replace(
        "https://api.wandb.ai", "https://wandb.ai"
    )
    url = f"{host.rstrip('/')}/{run.entity}/{run.project}/runs/{run.run_id}"
    return {"id": run.run_id, "path": run.path, "url": url}


def describe_run(
    settings: TrackingSettings,
    *,
    run_id: str,
    ensemble: str,
    job_type: str,
    run_config: Mapping[str, Any],
    pipeline_config: Mapping[str, Any] | None = None,
    task: str | None = None,
    run: int | None = None,
    axis: str = "iteration",
    more: Mapping[str, Any] | None = None,
) -> RunDescription:
    """Return what a W&B run is called and belongs to.

    Example:
        >>> described = describe_run(
        ...     TrackingSettings(project="mine"), run_id="demo-run_3-1f2e", ensemble="resid_mlp1/demo",
        ...     job_type="merge", run_config={"experiment_key": "resid_mlp1"}, task="resid_mlp", run=3,
        ... )
        >>> described.tags
        ['clustering', 'ensemble_id:resid_mlp1/demo', 'task:resid_mlp', 'model:s-62fce8c4', 'run_idx:3']
        >>> described.config["wandb_decomp_model"], described.project
        ('s-62fce8c4', 'mine')

    Args:
        settings: where it goes.
        run_id: its id.
        ensemble: folder of the ensemble, below the results: its group.
        job_type: `batches`, `merge`, `distances` or `report`.
        run_config: the run's settings, as `clustering_run_config.json` holds them.
        pipeline_config: the pipeline's, as `pipeline_config.yaml` holds them.
        task: what the decomposed model does, as its batches say.
        run: number of the run in its ensemble.
        axis: the metric that is the horizontal axis of all others.
        more: added to the settings.
    """
    model = model_source(run_config)
    parent = parent_of(model)
    name = parent.get("id") or (Path(model).name if model else None)
    tags = ["clustering", f"ensemble_id:{ensemble}"]
    tags += [f"task:{task}"] if task else []
    tags += [f"model:{name}"] if name else []
    tags += [f"run_idx:{run}"] if run is not None else []
    config: dict[str, Any] = dict(run_config)
    if pipeline_config:
        config["pipeline"] = dict(pipeline_config)
    if parent:
        config["wandb_decomp_model"] = parent["id"]
        config["parent_run"] = parent
    config |= more or {}
    return RunDescription(
        project=settings.project,
        entity=settings.entity,
        run_id=run_id,
        group=ensemble,
        job_type=job_type,
        tags=tags,
        config=config,
        axis=axis,
        notes=f"Clusters the components of {parent['url']}" if parent else None,
    )


def model_source(run_config: Mapping[str, Any]) -> str | None:
    """Return the path of the model that a run's settings name, `experiment_key` resolved.

    Example:
        >>> model_source({"experiment_key": "resid_mlp1"}), model_source({"model_path": "a/b"})
        ('wandb:goodfire/spd/runs/s-62fce8c4', 'a/b')
    """
    from spdclust.config.run import EXPERIMENTS

    key = run_config.get("experiment_key")
    source = EXPERIMENTS.get(key, run_config.get("model_path")) if key else run_config.get("model_path")
    return None if source is None else str(source)
