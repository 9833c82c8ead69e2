"""Files of the reference implementation: the settings in its histories, and mappings for its viewers.

What such a history does not state is unknown, not our default. Its readers accept different settings and
labels. A mapping is the group of every component as JSON.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.load import validate
from spdclust.config.merge import MergeConfig
from spdclust.config.reference_keys import MERGE_KEYS_OF_READERS, SPD_MERGE_KEYS
from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.core.types import Int, Labels
from spdclust.merge.history import GIVEN_ON_IMPORT, NOT_STATED, MergeHistory

_SAMPLERS = {"spd": ("range", "mcmc"), "param-decomp": ("range", "mcmc", "exp_rank")}
_WITHOUT_NULL = ("merge_pair_sampling_method", "merge_pair_sampling_kwargs")


def not_stated_by(settings: Any) -> list[str]:
    """Return the settings that a history of the reference implementation does not state.

    Example:
        >>> not_stated_by(dict.fromkeys(SPD_MERGE_KEYS[1:]))
        ['activation_threshold']
    """
    if not isinstance(settings, Mapping):
        return []
    # the oldest version states the threshold of its sampler under a key of its own
    stated = {*settings, "merge_pair_sampling_kwargs"} if "check_threshold" in settings else set(settings)
    return [key for key in SPD_MERGE_KEYS if key not in stated]


def read_settings(content: Any, not_stated: Iterable[str] = ()) -> MergeConfig:
    """Return the settings in a history's metadata; those that are not stated are None, of whatever type.

    Example:
        >>> config = read_settings({"alpha": 10.0}, ["activation_threshold", "filter_dead_threshold"])
        >>> config.alpha, config.activation_threshold, config.filter_dead_threshold
        (10.0, None, None)

    Raises:
        InputError: a setting is unknown or its value is not allowed.
    """
    unknown = [key for key in not_stated if key in MergeConfig.model_fields]
    if isinstance(content, Mapping):
        content = {key: value for key, value in content.items() if key not in unknown}
    try:
        config = validate(MergeConfig, content)
    except InputError as error:
        field = f"metadata.json: merge_config.{error.field or ''}".removesuffix(".")
        raise InputError(error.problem, field=field, found=error.found, allowed=error.allowed) from error
    return config.model_copy(update={key: None for key in unknown if key not in _WITHOUT_NULL})


def reference_settings(history: MergeHistory) -> dict[str, Any]:
    """Return the settings of a merge for the reference implementation's readers.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> reference_settings(example_history())["activation_threshold"]
        0.1
    """
    settings = history.config.resolved()
    stated = {key: settings[key] for key in SPD_MERGE_KEYS if key not in history.not_stated}
    # its reader supports a single prefix only
    return {key: None if isinstance(value, list) else value for key, value in stated.items()}


def give_settings(history: MergeHistory, given: Mapping[str, Any]) -> MergeHistory:
    """Return a history with settings that it does not state, and record that they were given.

    `given` has the names of `MergeConfig`; one that the history states must have the same value.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> unknown = ["activation_threshold", "alpha"]
        >>> config = read_settings({}, unknown)
        >>> history = replace(example_history(), config=config, provenance={"not_stated": unknown})
        >>> history = give_settings(history, {"activation_threshold": 0.1})
        >>> history.config.activation_threshold, history.not_stated, history.provenance["given_on_import"]
        (0.1, ('alpha',), ['activation_threshold'])

    Raises:
        InputError: the history states another value, or a value is not allowed.
    """
    if not given:
        return history
    before = history.settings()
    stated = {key: value for key, value in before.items() if key not in history.not_stated}
    settings = MergeConfig.model_validate(stated | dict(given)).resolved()
    for key in given:
        if key in stated and settings[key] != stated[key]:
            raise InputError(
                "the history states another value",
                field=f"merge_config.{key}",
                found=settings[key],
                allowed=f"{stated[key]}; not stated: {', '.join(history.not_stated) or 'nothing'}",
            )
    left = [key for key in history.not_stated if key not in given]
    new = sorted(set(given) & set(history.not_stated))
    provenance = {key: value for key, value in history.provenance.items() if key != NOT_STATED}
    provenance |= {NOT_STATED: left} if left else {}
    provenance |= {GIVEN_ON_IMPORT: new} if new else {}
    return replace(history, config=read_settings(settings, left), provenance=provenance)


def settings_for_reader(settings: Mapping[str, Any], labels: Sequence[str], reader: str) -> dict[str, Any]:
    """Return the settings that one reader accepts in a history.

    Example:
        >>> settings_for_reader({"alpha": 2.0, "activation_threshold": 0.1}, ["a:0", "a:1"], "param-decomp")
        {'alpha': 2.0}

    Raises:
        InputError: the reader cannot read such a history.
    """
    method = settings.get("merge_pair_sampling_method", "range")
    if method not in _SAMPLERS[reader]:
        raise InputError(
            f"a history that {reader} does not read",
            field="merge_pair_sampling_method",
            found=method,
            allowed=f"{', '.join(_SAMPLERS[reader])}; or the reader param-decomp",
        )
    threshold = settings.get("activation_threshold")
    if "activation_threshold" in MERGE_KEYS_OF_READERS[reader] and threshold is not None and threshold > 1:
        raise InputError(
            f"a history that {reader} does not read",
            field="activation_threshold",
            found=threshold,
            allowed="0 to 1, or null; or the reader param-decomp",
        )
    text = "\n".join(labels)
    if text.splitlines() != list(labels):
        found = next(label for label in labels if label.splitlines() != [label])
        raise InputError(
            f"a history that {reader} does not read: it splits labels at every kind of line end",
            field="labels",
            found=found,
            allowed="labels without line or page separators",
        )
    return {key: settings[key] for key in MERGE_KEYS_OF_READERS[reader] if key in settings}


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
        >>> save_mapping({"cut": "least_mdl", "groups": [["a:0", "a:1"]]}, f"{folder}/mapping.json")
        >>> json.loads((folder / "mapping.json").read_text())["groups"]
        [['a:0', 'a:1']]

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps(dict(record), indent=1, ensure_ascii=False) + "\n")
