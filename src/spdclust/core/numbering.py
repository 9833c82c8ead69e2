"""How people are told where a merge is: by the number of merges made, 0 before any.

Files and arguments count iterations from 0: iteration t is the state after t + 1 merges.
"""


def merges_done(iteration: int) -> str:
    """Return how many merges were made up to and including an iteration, in words.

    Example:
        >>> merges_done(0), merges_done(7)
        ('1 merge', '8 merges')

    Args:
        iteration: counted from 0, as in files.
    """
    return "1 merge" if iteration == 0 else f"{iteration + 1:,} merges"
