"""Names that people read and write: of the distances, and of the states of a merge.

`merges` counts the merges made, 0 before any: in sentences, figures, pages, columns of tables, options and
names of files. `iteration` is an index from 0 of arrays and of arguments in Python, as in files of the
reference implementation: iteration t is the state after t + 1 merges. A cut is named by either of them, by a
number of groups, or by how it is found. docs/files.md explains this to users.

Free of heavy imports, so that the configuration can be checked without numpy.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from spdclust.core.errors import InputError


@dataclass(frozen=True)
class DistanceMethod:
    """One way to compare two groupings of the same components.

    Attributes:
        name: the key in configurations and file names.
        description: one sentence.
        also_called: other names of the distance, for suggestions only; they are not accepted.
        needs_matching: whether assignment problems must be solved, which dominates the running time.
    """

    name: str
    description: str
    unit: str
    also_called: tuple[str, ...] = ()
    needs_matching: bool = False


_ALL = (
    DistanceMethod(
        "perm_invariant_hamming",
        "Number of components that are in different groups after the best one-to-one relabelling of groups.",
        "components",
        ("hamming", "assignment", "transfer_distance"),
        needs_matching=True,
    ),
    DistanceMethod(
        "matching_dist",
        "Number of component pairs that are together in one grouping and apart in the other.",
        "pairs",
        ("matching", "mirkin", "pair_counting"),
    ),
    DistanceMethod(
        "matching_dist_vec",
        "The same over ordered pairs: twice matching_dist.",
        "ordered pairs",
        ("matching_vec",),
    ),
    DistanceMethod(
        "adjusted_rand_dist",
        "One minus the adjusted Rand index: 0 for equal groupings, about 1 for unrelated ones.",
        "1 − index",
        ("adjusted_rand_index", "adjusted_rand_score", "adjusted_rand", "ari", "rand"),
    ),
    DistanceMethod(
        "variation_of_information",
        "Information in bits that the two groupings of a random component do not share.",
        "bits",
        ("vi", "information", "mutual_information"),
    ),
    DistanceMethod(
        "jaccard_dist",
        "Share of the component pairs together in either grouping that are not together in both.",
        "1 − index",
        ("jaccard_index", "jaccard_score", "jaccard"),
    ),
)

METHODS: dict[str, DistanceMethod] = {method.name: method for method in _ALL}
"""Every distance, by name."""


def check_method(name: str) -> DistanceMethod:
    """Return the method with the given name.

    Example:
        >>> check_method("matching_dist").unit
        'pairs'
        >>> check_method("matchin_dist")
        Traceback (most recent call last):
        ...
        spdclust.InputError: distances_methods: unknown method, did you mean matching_dist? ...

    Raises:
        InputError: there is no such method; the nearest name is suggested.
    """
    if name in METHODS:
        return METHODS[name]
    known = {name: name for name in METHODS} | {also: m.name for m in _ALL for also in m.also_called}
    near = get_close_matches(str(name).lower(), known, n=1)
    raise InputError(
        "unknown method" + (f", did you mean {known[near[0]]}?" if near else ""),
        field="distances_methods",
        found=str(name),
        allowed=", ".join(METHODS),
    )


def check_methods(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in the given order, without duplicates.

    Example:
        >>> check_methods(["matching_dist", "jaccard_dist", "matching_dist"])
        ('matching_dist', 'jaccard_dist')

    Raises:
        InputError: a name is unknown, or there are no names.
    """
    names = tuple(dict.fromkeys(check_method(name).name for name in names))
    if not names:
        raise InputError("no method given", field="distances_methods", allowed=", ".join(METHODS))
    return names


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

    A negative one counts from the end, if that is allowed.

    Example:
        >>> check_iteration(-1, 20)
        19

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
