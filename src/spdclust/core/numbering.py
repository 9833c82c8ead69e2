"""How a state of a merge is named: `merges`, `iteration`, or a cut.

`merges` counts the merges made, 0 before any. People read and write it: in sentences, figures, pages,
columns of tables, options and names of files. `iteration` is an index from 0 of arrays and of arguments in
Python, as in files of the reference implementation: iteration t is the state after t + 1 merges. A cut is
named by either of them, by a number of groups, or by how it is found. docs/files.md explains this to users.
"""

from spdclust.core.errors import InputError

AUTOMATIC_CUTS = ("least_mdl", "stability_drop")
"""Cuts without a number: at the shortest description, and before stability drops."""


def merges_done(iteration: int) -> str:
    """Return how many merges were made up to and including an iteration, in words.

    Example:
        >>> merges_done(0), merges_done(7)
        ('1 merge', '8 merges')
    """
    return "1 merge" if iteration == 0 else f"{iteration + 1:,} merges"


def iteration_after(merges: int, field: str = "merges") -> int:
    """Return the iteration of the state after a number of merges.

    Example:
        >>> iteration_after(50)
        49

    Raises:
        InputError: no merge, after which every component is alone: no array has a row for it.
    """
    if merges < 1:
        raise InputError(
            "every component is alone before the first merge", field=field, found=merges, allowed="1 or more"
        )
    return merges - 1


def check_iteration(iteration: int, n_iterations: int, *, from_end: bool = True) -> int:
    """Return an iteration counted from the start.

    Example:
        >>> check_iteration(-1, 20)
        19

    Args:
        iteration: the iteration; negative counts from the end.
        n_iterations: how many there are.
        from_end: whether negative ones are allowed.

    Raises:
        InputError: there is no such iteration.
    """
    first = -n_iterations if from_end else 0
    if not first <= iteration < n_iterations:
        span = f"{first} to {n_iterations - 1}, the states after 1 to {n_iterations} merges"
        raise InputError(
            "no such iteration",
            field="iteration",
            found=iteration,
            allowed=span if n_iterations else "none, the history has no merges",
        )
    return iteration % n_iterations


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
