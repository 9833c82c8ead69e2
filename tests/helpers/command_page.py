"""The command lines of docs/command-line.md."""

import re
import shlex

from workflow import REPOSITORY

PAGE = REPOSITORY / "docs" / "command-line.md"


def shown(program):
    """Return the arguments of every command line of a program on the page."""
    lines = re.findall(rf"^    {program} (.*)$", PAGE.read_text(), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]
