"""Select the components to merge: those of the chosen modules that are alive in any batch of the run."""

from fnmatch import fnmatchcase

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.core.types import Bool, Float, Int, Labels


def components_to_merge(
    labels: Labels,
    maxima: Float[np.ndarray, "batches components"],
    means: Float[np.ndarray, "batches components"],
    config: MergeConfig,
) -> Int[np.ndarray, " kept"]:
    """Return the components to merge, in order.

    A component is left out if its statistic (`filter_dead_stat`) is below `filter_dead_threshold` in every
    batch, or if its module does not match `module_name_filter`.

    Example:
        >>> labels = ["a:0", "a:1", "b:0"]
        >>> maxima = np.array([[0.5, 0.0, 0.0], [0.0, 0.0, 0.2]])
        >>> components_to_merge(labels, maxima, maxima / 2, MergeConfig()).tolist()
        [0, 2]

    Args:
        labels: names of the components.
        maxima: largest activation of each component in each batch, in the precision of the activations.
        means: mean activation of each component in each batch.
        config: the settings of the merge.

    Raises:
        InputError: no module matches `module_name_filter`, or no component is alive.
    """
    chosen = in_modules(labels, config.module_name_filter)
    statistic = maxima if config.filter_dead_stat == "max" else means
    threshold = config.filter_dead_threshold
    # a plain float is compared in the precision of the statistic, as in the reference implementation
    alive = np.ones(len(labels), dtype=bool) if threshold == 0 else ~(statistic < threshold).all(axis=0)
    kept = np.flatnonzero(chosen & alive)
    if len(kept) == 0:
        largest = float(statistic[:, chosen].max()) if statistic[:, chosen].size else 0.0
        raise InputError(
            "no component is alive",
            field="filter_dead_threshold",
            found=f"largest {config.filter_dead_stat} of {int(chosen.sum())} components is {largest:.4g}",
            allowed=f"a threshold of at most that, not {threshold:g}",
        )
    return kept


def in_modules(labels: Labels, module_filter: str | list[str] | None) -> Bool[np.ndarray, " components"]:
    """Return which components belong to modules matched by a prefix, a glob pattern or a list of these.

    Example:
        >>> in_modules(["mlp.in:0", "mlp.out:0", "attn:0"], ["*.out", "att"]).tolist()
        [False, True, True]

    Raises:
        InputError: an entry matches no module.
    """
    if module_filter is None:
        return np.ones(len(labels), dtype=bool)
    of_label = [module_of(label) for label in labels]
    modules = list(dict.fromkeys(of_label))
    chosen: set[str] = set()
    for entry in [module_filter] if isinstance(module_filter, str) else module_filter:
        is_glob = any(sign in entry for sign in "*?[")
        matches = [m for m in modules if (fnmatchcase(m, entry) if is_glob else m.startswith(entry))]
        if not matches:
            raise InputError(
                "no module matches", field="module_name_filter", found=entry, allowed=_some_of(modules)
            )
        chosen.update(matches)
    if not chosen:
        raise InputError(
            "no module is named", field="module_name_filter", found=module_filter, allowed=_some_of(modules)
        )
    return np.array([module in chosen for module in of_label], dtype=bool)


def module_of(label: str) -> str:
    """Return the module part of a component's label.

    Example:
        >>> module_of("layers.0.mlp_in:17")
        'layers.0.mlp_in'
    """
    return label.rpartition(":")[0] or label


def _some_of(modules: list[str], limit: int = 8) -> str:
    shown = ", ".join(modules[:limit])
    return shown if len(modules) <= limit else f"{shown}, … ({len(modules)} modules)"
