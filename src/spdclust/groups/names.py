"""Names of groups that a paper can cite: made from the members, not from a position in a table."""

import hashlib

from spdclust.core.types import Labels


def group_name(members: Labels) -> str:
    """Return the permanent name of a group: the same for the same members, in whatever order, run or version.

    It is `g` and the first 10 hexadecimal digits of the SHA-256 digest of the sorted labels, joined by line
    breaks, in UTF-8.

    Example:
        >>> group_name(["mlp:0", "attn:0"]), group_name(["attn:0", "mlp:0"])
        ('g4d2f7f37d5', 'g4d2f7f37d5')

    Args:
        members: labels of the group's components.
    """
    return "g" + hashlib.sha256("\n".join(sorted(members)).encode()).hexdigest()[:10]
