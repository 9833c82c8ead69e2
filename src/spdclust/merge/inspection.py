"""Describe a merge history in words; the sizes of its groups."""

from collections import Counter

import numpy as np

from spdclust.core.names import merges_done
from spdclust.core.types import Int, Labels
from spdclust.merge.activations import module_of
from spdclust.merge.history import MergeHistory

_SHOWN = 10


def describe_history(history: MergeHistory) -> str:
    """Return a short summary of a history: components, merges, least description length, growth of groups.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> print("\\n".join(describe_history(example_history()).splitlines()[:4]))
        12 components (6 in attn, 6 in mlp), 11 merges, 1 group at the end
        least description length: 3.95 bits per sample after 8 merges, with 4 groups: 3, 3, 3, 3 components
        merges  groups  largest  second  third  singletons  bits per sample
             1      11        2       1      1          10          9.45332
    """
    n_left = history.n_components - history.n_iterations
    merges = "1 merge" if history.n_iterations == 1 else f"{history.n_iterations} merges"
    groups = "1 group" if n_left == 1 else f"{n_left} groups"
    lines = [f"{history.n_components} components ({_modules(history.labels)}), {merges}, {groups} at the end"]
    if history.not_stated:
        lines.append(f"settings that the source does not state: {', '.join(history.not_stated)}")
    if history.n_iterations == 0:
        return "\n".join(lines)
    iterations = {round(share * (history.n_iterations - 1) / _SHOWN) for share in range(_SHOWN + 1)}
    if history.is_scalar:
        lines.append("no shortest description: the lengths of scalar activations mean nothing")
    elif not history.has_description_length:
        lines.append("no description lengths: files of the reference implementation have none")
    else:
        best = history.best_iteration()
        iterations.add(best)
        lines.append(
            f"least description length: {history.mdl_loss[best]:.6g} bits per sample "
            f"after {merges_done(best)}, with {_sizes(history, best)}"
        )
    return "\n".join([*lines, *_growth(history, sorted(iterations))])


def describe_groups(history: MergeHistory, iteration: int) -> str:
    """Return the groups of more than one component after a merge, largest first, with their labels.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> print(describe_groups(example_history(), 1))
        after 2 merges: 10 groups: 2, 2, 1, 1, 1, 1, 1, 1, 1, 1 components
        group 2, 2 components (1 in attn, 1 in mlp): attn:2 mlp:1
        group 5, 2 components (1 in attn, 1 in mlp): attn:5 mlp:5

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
    modules = Counter(module_of(label) for label in labels)
    return ", ".join(f"{count} in {module}" for module, count in modules.items())


def _sizes(history: MergeHistory, iteration: int) -> str:
    sizes = sorted(history.at(iteration).sizes().tolist(), reverse=True)
    text = ", ".join(map(str, sizes[:_SHOWN])) + (", …" if len(sizes) > _SHOWN else "")
    return f"{len(sizes)} groups: {text} components"


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


def size_curves(
    history: MergeHistory,
) -> tuple[Int[np.ndarray, "iterations 3"], Int[np.ndarray, " iterations"]]:
    """Return the sizes of the three largest groups and the number of singleton groups after each merge.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> largest, singletons = size_curves(example_history())
        >>> largest[6:8].tolist(), singletons[6:8].tolist()
        ([[3, 3, 3], [3, 3, 3]], [1, 0])
    """
    names = history.group_names
    size = np.ones(history.n_components, dtype=np.int64)
    n_of_size = np.zeros(history.n_components + 1, dtype=np.int64)
    n_of_size[1] = history.n_components
    largest = np.zeros((history.n_iterations, 3), dtype=np.int64)
    singletons = np.empty(history.n_iterations, dtype=np.int64)
    present = {1}
    for t, (kept, gone) in enumerate(names):
        for old in (size[kept], size[gone]):
            n_of_size[old] -= 1
        size[kept] += size[gone]
        n_of_size[size[kept]] += 1
        present.add(int(size[kept]))
        present = {each for each in present if n_of_size[each]}
        top = [each for each in sorted(present, reverse=True)[:3] for _ in range(min(3, n_of_size[each]))][:3]
        largest[t, : len(top)] = top
        singletons[t] = n_of_size[1]
    return largest, singletons
