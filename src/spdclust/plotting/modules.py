"""Modules along an axis of components: in which order, where one ends, what it is called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from spdclust.core.types import Int, Labels
from spdclust.merge.activations import module_of
from spdclust.plotting.style import GREY, PALETTE, plain_text

_MOST_NAMES = 24
_LONGEST_NAME = 28

OTHER = "#9A9A9A"
"""Colour of the modules for which no colour is left."""


@dataclass(frozen=True)
class ModuleOrder:
    """Components brought into the order of their modules.

    Attributes:
        names: the modules, in the order of their first component.
        order: the components, module by module, otherwise as they were.
        edges: where each module begins in that order, and the end.
    """

    names: list[str]
    order: Int[np.ndarray, " components"]
    edges: Int[np.ndarray, " edges"]


def order_by_module(labels: Labels) -> ModuleOrder:
    """Return the order of components module by module.

    Example:
        >>> order = order_by_module(["b:0", "a:0", "b:1"])
        >>> order.names, order.order.tolist(), order.edges.tolist()
        (['b', 'a'], [0, 2, 1], [0, 2, 3])
    """
    names, numbers = number_modules(labels)
    sizes = np.bincount(numbers, minlength=len(names)) if len(numbers) else np.zeros(0, dtype=np.int64)
    return ModuleOrder(names, np.argsort(numbers, kind="stable"), np.concatenate([[0], np.cumsum(sizes)]))


def number_modules(labels: Labels) -> tuple[list[str], Int[np.ndarray, " components"]]:
    """Return the modules in the order of their first component, and the module of every component.

    Example:
        >>> names, numbers = number_modules(["b:0", "a:0", "b:1"])
        >>> names, numbers.tolist()
        (['b', 'a'], [0, 1, 0])
    """
    of_label = [module_of(label) for label in labels]
    number = {name: n for n, name in enumerate(dict.fromkeys(of_label))}
    return list(number), np.array([number[name] for name in of_label], dtype=np.int64)


def module_colors(names: Sequence[str], sizes: Sequence[int] | None = None) -> dict[str, str]:
    """Return a colour for each module; the smallest share grey when there are more than colours.

    Example:
        >>> module_colors(["a", "b"])
        {'a': '#0072B2', 'b': '#D55E00'}
    """
    colored = list(names)
    if len(names) > len(PALETTE):
        sizes = [0] * len(names) if sizes is None else sizes
        largest = sorted(range(len(names)), key=lambda n: (-sizes[n], n))[: len(PALETTE)]
        colored = [names[n] for n in sorted(largest)]
    colors = dict(zip(colored, PALETTE, strict=False))
    return {name: colors.get(name, OTHER) for name in names}


def module_handles(colors: Mapping[str, str]) -> list[Patch]:
    """Return the entries of a legend of modules; those without a colour of their own share one.

    Example:
        >>> [patch.get_label() for patch in module_handles({"attn": PALETTE[0], "a": OTHER, "b": OTHER})]
        ['attn', '2 other modules']
    """
    handles = [
        Patch(color=color, label=plain_text(name, 40)) for name, color in colors.items() if color != OTHER
    ]
    if len(handles) < len(colors):
        handles.append(Patch(color=OTHER, label=f"{len(colors) - len(handles)} other modules"))
    return handles


def draw_modules(axes: Axes, modules: ModuleOrder, *, x: bool = True, y: bool = True) -> None:
    """Mark where modules end and name them on the axes of components, as many as there is room for.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().subplots()
        >>> draw_modules(axes, order_by_module(["attn:0", "attn:1", "mlp:0"]), y=False)
        >>> [text.get_text() for text in axes.get_xticklabels()], axes.get_xticks().tolist()
        (['attn', 'mlp'], [1.0, 2.5])
    """
    edges = modules.edges
    inner = edges[1:-1]
    middles = (edges[:-1] + edges[1:]) / 2
    room = _with_room(np.diff(edges))
    names = [plain_text(modules.names[n], _LONGEST_NAME) for n in room]
    if x:
        axes.vlines(inner, 0, 1, transform=axes.get_xaxis_transform(), color=GREY, lw=0.6)
        axes.set_xticks(middles[room], names, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
        axes.tick_params(axis="x", length=0)
    if y:
        axes.hlines(inner, 0, 1, transform=axes.get_yaxis_transform(), color=GREY, lw=0.6)
        axes.set_yticks(middles[room], names, fontsize=8)
        axes.tick_params(axis="y", length=0)


def _with_room(sizes: np.ndarray) -> list[int]:
    """Return the modules whose names fit side by side, the larger ones first."""
    total, chosen = int(sizes.sum()), list[int]()
    middles = np.cumsum(sizes) - sizes / 2
    for n in np.argsort(-sizes, kind="stable").tolist():
        if all(abs(middles[n] - middles[other]) * _MOST_NAMES >= total for other in chosen):
            chosen.append(n)
    return sorted(chosen)
