"""The points of a sweep, and the settings of a run at each of them."""

import difflib
import functools
import itertools
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spdclust.config.load import validate
from spdclust.config.merge import MergeConfig
from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError


def sweep_points(pipeline: ClusteringPipelineConfig, path: str | Path = "") -> list[dict[str, Any]]:
    """Return every point of a sweep as `{key: value}`; one empty point where nothing is swept.

    Example:
        >>> pipeline = ClusteringPipelineConfig(
        ...     clustering_run_config_path="a", sweep={"merge_config.alpha": [1, 2]}
        ... )
        >>> sweep_points(pipeline)
        [{'merge_config.alpha': 1}, {'merge_config.alpha': 2}]

    Raises:
        InputError: a key that cannot be swept, no values, or lists of different length to zip.
    """
    for key, values in pipeline.sweep.items():
        section, _, name = key.partition(".")
        if section != "merge_config" or name.split(".")[0] not in MergeConfig.model_fields:
            known = [f"merge_config.{each}" for each in MergeConfig.model_fields]
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
            raise InputError(
                "cannot be swept", file=path, field=f"sweep: {key}", allowed=", ".join(close or known)
            )
        if not values:
            raise InputError("no values", file=path, field=f"sweep: {key}", allowed="one or more values")
    if pipeline.sweep_mode == "zip":
        lengths = {key: len(values) for key, values in pipeline.sweep.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(
                "lists differ in length",
                file=path,
                field="sweep",
                found=lengths,
                allowed="equal lengths to zip",
            )
        combinations: Any = zip(*pipeline.sweep.values(), strict=True) if pipeline.sweep else [()]
    else:
        combinations = itertools.product(*pipeline.sweep.values())
    return [dict(zip(pipeline.sweep, values, strict=True)) for values in combinations]


def with_point(
    run: ClusteringRunConfig, point: Mapping[str, Any], path: str | Path = ""
) -> ClusteringRunConfig:
    """Return the settings of a run at one point of a sweep.

    Example:
        >>> run = ClusteringRunConfig(model_path="resources/resid_mlp1")
        >>> with_point(run, {"merge_config.alpha": 2}).merge_config.alpha
        2.0

    Raises:
        InputError: a value is not allowed.
    """
    if not point:
        return run
    settings = run.model_dump(mode="json")
    for key, value in point.items():
        *sections, last = key.split(".")
        target = settings
        for section in sections:
            target = target[section]
        target[last] = value
    if "merge_config.merge_pair_sampling_method" in point:
        settings["merge_config"].setdefault("merge_pair_sampling_kwargs", {})
    try:
        return validate(ClusteringRunConfig, settings)
    except InputError as error:
        raise InputError(
            "value not allowed" if error.problem == "not allowed" else error.problem,
            file=path,
            field=f"sweep: {error.field or ', '.join(point)}",
            found=error.found,
            allowed=error.allowed,
        ) from error


def typed_point(run: ClusteringRunConfig, point: Mapping[str, Any]) -> dict[str, Any]:
    """Return a point with the values that the settings of its run took: text such as `1e-2` is a number.

    Numbers that are equal to the setting's value stay as written, `2` for `2.0`: ensembles are named by them.

    Example:
        >>> point = {"merge_config.alpha": "1e-2", "merge_config.iters": 2.0}
        >>> typed_point(with_point(ClusteringRunConfig(model_path="m"), point), point)
        {'merge_config.alpha': 0.01, 'merge_config.iters': 2.0}

    Args:
        run: the result of `with_point`.
        point: the point as written.
    """
    settings = run.model_dump(mode="json")
    typed = {key: functools.reduce(operator.getitem, key.split("."), settings) for key in point}
    return {key: value if value == typed[key] else typed[key] for key, value in point.items()}
