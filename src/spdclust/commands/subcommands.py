"""Helpers to add subcommands to the command line."""

import argparse
from collections.abc import Callable
from typing import Any

from spdclust.core.names import iteration_after

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


def add_moment(parser: argparse.ArgumentParser, subject: str) -> None:
    """Add `--merges` and `--iteration`, two ways to name a state of a merge; see `iteration_given`.

    Example:
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_moment(parser, "list the groups")
        >>> iteration_given(parser.parse_args(["--merges", "50"]))
        49
        >>> iteration_given(parser.parse_args(["--iteration", "49"]))
        49
    """
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--merges", type=count, metavar="N", help=f"{subject} after N merges")
    either.add_argument(
        "--iteration",
        type=int,
        metavar="T",
        help="the same, as arrays and Python count: T is the state after T + 1 merges, -1 the last one",
    )


def iteration_given(options: argparse.Namespace) -> int | None:
    """Return the iteration that the options of `add_moment` name; None if there are none.

    Example:
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_moment(parser, "list the groups")
        >>> iteration_given(parser.parse_args(["--merges", "3"])), iteration_given(parser.parse_args([]))
        (2, None)

    Raises:
        InputError: `--merges 0`.
    """
    if options.merges is None:
        iteration: int | None = options.iteration
        return iteration
    return iteration_after(options.merges, field="--merges")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add `--threads`; None and 0 stand for all cores.

    Example:
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_threads(parser)
        >>> parser.parse_args(["--threads", "3"]).threads
        3
    """
    parser.add_argument(
        "--threads",
        type=count,
        help="number of threads (default: all cores); results do not depend on it",
    )


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
