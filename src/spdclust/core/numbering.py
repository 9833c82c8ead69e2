"""How a state of a merge is named: `merges` and `iteration`, and nothing else.

`merges` counts the merges made, 0 before any. People read and write it: in sentences, figures, pages,
columns of tables, options and names of files. `iteration` is an index from 0 of arrays and of arguments in
Python, as in files of the reference implementation: iteration t is the state after t + 1 merges.
docs/files.md explains both to users.
"""

from spdclust.core.errors import InputError


def merges_done(iteration: int) -> str:
    """Return how many merges were made up to and including an iteration, in words.

    Example:
        >>> merges_done(0), merges_done(7)
        ('1 merge', '8 merges')

    Args:
        iteration: counted from 0, as in arrays.
    """
    return "1 merge" if iteration == 0 else f"{iteration + 1:,} merges"


def iteration_after(merges: int, field: str = "merges") -> int:
    """Return the iteration of the state after a number of merges.

    Example:
        >>> iteration_after(50)
        49

    Args:
        merges: number of merges made.
        field: name of the argument in an error.

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
