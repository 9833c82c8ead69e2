"""The cuts of a stability record, as figures name them."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

CUT_NAMES = {
    "least_mdl": "shortest description",
    "stability_drop": "before stability drops",
    "iteration": "chosen iteration",
    "n_groups": "chosen number of groups",
}
"""What figures call the cuts."""


_WIDTH = 52


def groups_span(n_groups: Sequence[int]) -> str:
    """Return the numbers of groups of several runs in few words.

    Example:
        >>> groups_span([43, 44, 43]), groups_span([1])
        ('43 to 44 groups', '1 group')
    """
    low, high = min(n_groups), max(n_groups)
    if low < high:
        return f"{low} to {high} groups"
    return "1 group" if low == 1 else f"{low} groups"


def cut_title(name: str, at: Mapping[str, Any]) -> str:
    """Return the title of what is drawn at one cut of a record, see `stability_record`.

    Example:
        >>> cut_title("least_mdl", {"cut": {"n_groups": [4, 5]}})
        'Shortest description: 4 to 5 groups'
        >>> cut_title("least_mdl", {"cut": {"n_groups": [4, 5], "notes": ["Raise iters."]}}).splitlines()[1]
        'Raise iters.'
    """
    title = f"{CUT_NAMES[name].capitalize()}: {groups_span(at['cut']['n_groups'])}"
    return "\n".join([title, *_cut_notes(at)])


def _cut_notes(at: Mapping[str, Any]) -> list[str]:
    """Return what makes a cut a doubtful one, in lines that fit a figure."""
    return [line for note in at["cut"].get("notes", []) for line in textwrap.wrap(note, _WIDTH)]
