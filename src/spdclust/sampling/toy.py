"""Sparse feature vectors: the inputs of `resid_mlp` and `tms` models, seeded."""

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Bool, Float, make_generator
from spdclust.models.task import ToyTask

VALUE_RANGES: dict[str, tuple[float, float]] = {"resid_mlp": (-1.0, 1.0), "tms": (0.0, 1.0)}
"""Range of the uniform distribution of an active feature, by task."""

N_ACTIVE: dict[str, int] = {
    "exactly_one_active": 1,
    "exactly_two_active": 2,
    "exactly_three_active": 3,
    "exactly_four_active": 4,
    "exactly_five_active": 5,
}
"""Number of active features per sample, for the kinds of data with a fixed number."""

Features = Float[np.ndarray, "samples features"]
Active = Bool[np.ndarray, "samples features"]


def generate(task: ToyTask, n_samples: int, seed: int) -> Features:
    """Draw sparse feature vectors.

    Example:
        >>> task = ToyTask(name="resid_mlp", n_features=4, feature_probability=0.5)
        >>> bool(np.array_equal(generate(task, 9, seed=1), generate(task, 9, seed=1)))
        True
        >>> one = ToyTask(
        ...     name="tms", n_features=4, feature_probability=0, data_generation_type="exactly_one_active"
        ... )
        >>> (generate(one, 3, seed=0) > 0).sum(axis=1).tolist()
        [1, 1, 1]

    Args:
        task: number of features and their distribution.
        n_samples: number of samples, 0 or more.
        seed: seed of the samples.

    Returns:
        float32, 0 for inactive features.

    Raises:
        InputError: more active features than features, or a negative number of samples.
    """
    if n_samples < 0:
        raise InputError("too small", field="n_samples", found=n_samples, allowed="0 or more")
    generator = make_generator(seed)
    values = _values(task, n_samples, generator)
    if task.data_generation_type in N_ACTIVE:
        active = _exactly(N_ACTIVE[task.data_generation_type], task, n_samples, generator)
    else:
        active = _each_for_itself(task, n_samples, generator)
        for together in task.synced_inputs or []:
            active[:, together] = active[:, together].any(axis=1, keepdims=True)
    return np.where(active, values, np.float32(0))


def _values(task: ToyTask, n_samples: int, generator: np.random.Generator) -> Features:
    low, high = VALUE_RANGES[task.name]
    uniform = generator.random((n_samples, task.n_features), dtype=np.float32)
    return uniform * np.float32(high - low) + np.float32(low)


def _each_for_itself(task: ToyTask, n_samples: int, generator: np.random.Generator) -> Active:
    uniform = generator.random((n_samples, task.n_features), dtype=np.float32)
    active: np.ndarray = np.less(uniform, np.float32(task.feature_probability))
    return active


def _exactly(n_active: int, task: ToyTask, n_samples: int, generator: np.random.Generator) -> Active:
    if n_active > task.n_features:
        raise InputError(
            "asked for more active features than the model has",
            field="data_generation_type",
            found=task.data_generation_type,
            allowed=f"at most {task.n_features}",
        )
    drawn = generator.random((n_samples, task.n_features)).argsort(axis=1, kind="stable")[:, :n_active]
    active = np.zeros((n_samples, task.n_features), dtype=bool)
    np.put_along_axis(active, drawn, True, axis=1)
    return active
