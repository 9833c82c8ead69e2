"""Captions of figures, by the names of their files; the texts are those of the registry.

`python -m spdclust.plotting.captions` writes them to `report/captions/`, for `snakemake --report`.
"""

import re
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

from spdclust.plotting.registry import FIGURE_RULES, FigureEntry


class Caption(NamedTuple):
    """The words that go with a figure.

    Attributes:
        title: its name, in a few words.
        text: what it shows, how to read it, the definition of the quantity.
    """

    title: str
    text: str


def figure_caption(stem: str) -> Caption | None:
    """Return the caption of a figure from the name of its file without suffix; None for unknown figures.

    Example:
        >>> figure_caption("runs_matching_dist").text.split(" where")[0]
        'Distances between the runs (matching_dist)'
        >>> figure_caption("activations_run_0_raw").title
        'Activations'
    """
    for figure in _figures():
        pattern = re.sub(r"\\\{(\w+)\\\}", _wildcard, re.escape(figure.file))
        if match := re.fullmatch(pattern, stem):
            text = figure.caption.replace("{method}", match.groupdict().get("method", ""))
            return Caption(figure.title, text)
    return None


def _figures() -> list[FigureEntry]:
    return [figure for rule in FIGURE_RULES.values() for figure in rule.figures]


def _wildcard(match: re.Match[str]) -> str:
    return rf"(?P<{match[1]}>{'[0-9]+' if match[1] == 'run' else '.+'})"


def _caption_files() -> dict[str, str]:
    """Return the text of every file in `report/captions/`, by file name."""
    return {f"{figure.key}.rst": _wrapped(figure.caption) for figure in _figures()}


def _wrapped(text: str) -> str:
    text = text.replace("{method}", "{{ snakemake.wildcards.method }}")
    return textwrap.fill(text, 115, break_long_words=False, break_on_hyphens=False) + "\n"


def main(folder: Path = Path("report/captions")) -> None:
    """Write all files.

    Example:
        >>> main(folder)
        >>> (folder / "mdl.rst").exists()
        True
    """
    for name, text in _caption_files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
