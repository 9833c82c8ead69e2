"""Describe a merge history in words."""

from collections import Counter

import numpy as np

from spdclust.core.numbering import merges_done
from spdclust.core.types import Labels
from spdclust.merge.history import MergeHistory
from spdclust.merge.sizes import size_curves

_SHOWN = 10


def describe_history(history: MergeHistory) -> str:
    """Return a short summary of a history: components, merges, least description length, growth of groups.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> history = MergeHistory(
        ...     ["a:0", "a:1", "b:0"], np.array([[0, 1]]), np.array([2.5]), np.array([-1.0]), MergeConfig()
        ... )
        >>> print(describe_history(history))
        3 components (2 in a, 1 in b), 1 merge, 2 groups at the end
        least description length: 2.5 bits per sample after 1 merge, with 2 groups: 2, 1 components
        merges  groups  largest  second  third  singletons  bits per sample
             1       2        2       1      0           1              2.5
    """
    n_left = history.n_components - history.n_iterations
    merges = "1 merge" if history.n_iterations == 1 else f"{history.n_iterations} merges"
    lines = [
        f"{history.n_components} components ({_modules(history.labels)}), {merges}, "
        f"{n_left} groups at the end"
    ]
    if history.not_stated:
        lines.append(f"settings that the source does not state: {', '.join(history.not_stated)}")
    if history.n_iterations == 0:
        return "\n".join(lines)
    shown = {round(share * (history.n_iterations - 1) / _SHOWN) for share in range(_SHOWN + 1)}
    if history.is_scalar:
        lines.append("no shortest description: the lengths of scalar activations mean nothing")
    elif not history.has_description_length:
        lines.append("no description lengths: files of the reference implementation have none")
    else:
        best = history.best_iteration()
        shown.add(best)
        lines.append(
            f"least description length: {history.mdl_loss[best]:.6g} bits per sample "
            f"after {merges_done(best)}, with {_sizes(history, best)}"
        )
    return "\n".join([*lines, *_growth(history, sorted(shown))])


def describe_groups(history: MergeHistory, iteration: int) -> str:
    """Return the groups of more than one component after a merge, largest first, with their labels.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> history = MergeHistory(
        ...     ["a:0", "a:1", "b:0"], np.array([[0, 1]]), np.array([2.5]), np.array([-1.0]), MergeConfig()
        ... )
        >>> print(describe_groups(history, -1))
        after 1 merge: 2 groups: 2, 1 components
        group 0, 2 components (2 in a): a:0 a:1

    Raises:
        InputError: there is no such iteration.
    """
    at = history.at(iteration)
    lines = [f"after {merges_done(iteration % history.n_iterations)}: {_sizes(history, iteration)}"]
    sizes = at.sizes()
    for group in np.argsort(-sizes, kind="stable").tolist():
        if sizes[group] > 1:
            members = at.members(group)
            lines.append(
                f"group {group}, {sizes[group]} components ({_modules(members)}): {' '.join(members)}"
            )
    return "\n".join(lines)


def _modules(labels: Labels) -> str:
    modules = Counter(label.rpartition(":")[0] for label in labels)
    return ", ".join(f"{count} in {module}" for module, count in modules.items())


def _sizes(history: MergeHistory, iteration: int) -> str:
    sizes = sorted(history.at(iteration).sizes().tolist(), reverse=True)
    shown = ", ".join(map(str, sizes[:_SHOWN])) + (", …" if len(sizes) > _SHOWN else "")
    return f"{len(sizes)} groups: {shown} components"


def _growth(history: MergeHistory, iterations: list[int]) -> list[str]:
    """Return a table of the numbers and sizes of groups at some iterations."""
    head = ("merges", "groups", "largest", "second", "third", "singletons", "bits per sample")
    largest, singletons = size_curves(history)
    lines = ["  ".join(head)]
    for t in iterations:
        mdl = history.mdl_loss[t]
        cells = [
            t + 1,
            history.k_groups[t],
            *largest[t],
            singletons[t],
            "-" if np.isnan(mdl) else f"{mdl:.6g}",
        ]
        lines.append("  ".join(str(cell).rjust(len(name)) for cell, name in zip(cells, head, strict=True)))
    return lines
