"""Names of the cuts and of the files of the analysis; free of slow imports."""

from spdclust.core.errors import InputError
from spdclust.core.numbering import iteration_after

AUTOMATIC_CUTS = ("least_mdl", "stability_drop")
"""Cuts without a number: at the shortest description, and before stability drops."""

STABILITY_FILES = {
    "record": "stability.json",
    "iterations": "stability_iterations.csv",
    "sizes": "stability_sizes.csv",
    "components": "stability_components.csv",
    "groups": "stability_groups.csv",
    "coclustering": "stability_coclustering.npz",
}
"""File names by their contents."""


def split_cut(name: str) -> tuple[str, int]:
    """Return the kind, `iteration` or `groups`, and the number of a numbered cut.

    Example:
        >>> split_cut("groups_40"), split_cut("merges_50"), split_cut("iteration_49")
        (('groups', 40), ('iteration', 49), ('iteration', 49))

    Raises:
        InputError: no such cut.
    """
    kind, _, number = name.rpartition("_")
    if kind not in ("merges", "groups", "iteration") or not number.isdigit():
        raise InputError(
            "unknown cut",
            field="cut",
            found=name,
            allowed=", ".join([*AUTOMATIC_CUTS, "merges_<n>", "groups_<k>"]),
        )
    if kind == "merges":
        return "iteration", iteration_after(int(number), field="cut")
    return kind, int(number)
