"""The commands and the page that lists them say the same."""

import argparse
import re
import shlex
import subprocess

import pytest
from command_page import PAGE, shown

from spdclust.commands import cli, reference_cli


def subcommands(parser):
    return next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices


def test_every_subcommand_stands_on_the_page_and_no_other():
    assert {words[0] for words in shown("spdclust")} == set(subcommands(cli._parser()))


@pytest.mark.parametrize("words", shown("spdclust"), ids=" ".join)
def test_every_example_of_the_page_is_understood(words):
    cli._parser().parse_args(words)


def test_every_flag_of_the_whole_workflow_stands_on_the_page():
    for words in shown("spd-clustering"):
        reference_cli.parser().parse_args(words)
    page = PAGE.read_text()
    flags = {
        flag
        for action in reference_cli.parser()._actions
        for flag in action.option_strings
        if flag.startswith("--") and not flag.startswith("--no-")
    }
    said = {"--calc-distances": "--no-calc-distances"}
    absent = {flag for flag in flags if f"`{said.get(flag, flag)}" not in page}
    assert absent == {"--version"}


def test_every_example_of_the_help_is_understood():
    helps = [
        (reference_cli.parser().epilog, "spd-clustering", reference_cli.parser()),
        (cli._EXAMPLES, "spdclust", cli._parser()),
        *((parser.epilog or "", "spdclust", cli._parser()) for parser in subcommands(cli._parser()).values()),
    ]
    examples = [
        (parser, shlex.split(line, comments=True))
        for text, program, parser in helps
        for line in re.findall(rf"^ *(?:\w+=\w+ )?{program} (.*)$", text, re.MULTILINE)
    ]
    assert len(examples) > 20
    for parser, words in examples:
        parser.parse_args(words)


@pytest.mark.parametrize("line", ["spdclust gr", "spdclust groups --exp", "spdclust completion z"])
def test_bash_completes_subcommands_options_and_choices(line, tmp_path, capsys):
    assert cli.main(["completion", "bash"]) == 0
    script = tmp_path / "completion"
    script.write_text(capsys.readouterr().out)
    words = line.split()
    ask = (
        f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        '$(complete -p spdclust | sed "s/.*-F \\([^ ]*\\).*/\\1/"); echo "${COMPREPLY[@]}"'
    )
    offered = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    expected = {"gr": "groups", "--exp": "--explain", "z": "zsh"}
    assert offered == [expected[words[-1]]]
