"""Every figure of the workflow: its rule, targets, caption and stage follow from its entry here.

The workflow reads it for every plan, so it imports nothing slow.
"""

from spdclust.plotting.registry import ensembles, merges
from spdclust.plotting.registry.entries import INPUTS as INPUTS
from spdclust.plotting.registry.entries import FigureEntry as FigureEntry
from spdclust.plotting.registry.entries import FigureInput as FigureInput
from spdclust.plotting.registry.entries import FigureRule

FIGURE_RULES: dict[str, FigureRule] = {
    rule.name: rule for module in (ensembles, merges) for rule in module.RULES
}
"""Rules that draw figures, by name."""


def figure_code(rule: FigureRule) -> dict[str, str]:
    """Return the functions that a rule calls, as `module:function`, by what they are called for.

    Example:
        >>> figure_code(FIGURE_RULES["plot_distances"])["distances_{method}"]
        'spdclust.plotting.runs:plot_distances'
    """
    code = {" ".join(INPUTS[name].gives): INPUTS[name].load for name in rule.inputs}
    return code | {f"{figure.file} {figure.part}".strip(): figure.draw for figure in rule.figures}
