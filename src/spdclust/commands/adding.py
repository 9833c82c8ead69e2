"""How a module of subcommands adds one to the command line."""

import argparse
from collections.abc import Callable

AddCommand = Callable[..., argparse.ArgumentParser]
"""`(name, act, summary, *examples)`: add a subcommand that calls `act` with the parsed options.

`summary` is one sentence for the help, `examples` are whole command lines. Returns the subcommand's parser.
"""


def count(text: str) -> int:
    """Read a number of things, 0 or more, from the command line.

    Example:
        >>> count("3")
        3

    Raises:
        ArgumentTypeError: anything else.
    """
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"found {text!r} (allowed: a whole number, 0 or more)")
    return int(text)
