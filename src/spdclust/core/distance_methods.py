"""The distances by name, as used by the configuration, the command line and the documentation.

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
        unit: unit of the values.
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
