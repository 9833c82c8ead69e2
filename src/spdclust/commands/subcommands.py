"""Helpers to add subcommands to the command line."""

import argparse
from collections.abc import Callable
from typing import Any

AddCommand = Callable[..., argparse.ArgumentParser]
"""`(name, act, summary, *examples)`: add a subcommand that calls `act` with the parsed options.

`summary` is one sentence for the help, `examples` are whole command lines. Returns the subcommand's parser.
"""


def subcommand_adder(parser: argparse.ArgumentParser) -> AddCommand:
    """Return a function that adds subcommands to a parser.

    Example:
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> command = subcommand_adder(parser)
        >>> greet = command("greet", lambda options: print(f"hello {options.name}"), "Say hello.")
        >>> _ = greet.add_argument("name")
        >>> options = parser.parse_args(["greet", "reader"])
        >>> options.act(options)
        hello reader
    """
    commands: Any = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(
        name: str, act: Callable[[argparse.Namespace], None], summary: str, *examples: str
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog="\n  ".join(["examples:", *examples]) if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(act=act)
        return added

    return command


def count(text: str) -> int:
    """Parse a count, 0 or more, from the command line.

    Example:
        >>> count("3")
        3

    Raises:
        ArgumentTypeError: the text is not such a number.
    """
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"found {text!r} (allowed: a whole number, 0 or more)")
    return int(text)
