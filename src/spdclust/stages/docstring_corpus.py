"""Stage: the installed Python -> a text corpus for the demonstration."""

import logging
from pathlib import Path

from spdclust.sampling.docstrings import write_docstring_corpus

log = logging.getLogger(__name__)


def docstring_corpus(path: str | Path) -> None:
    """Write a `.jsonl` file of docstrings, one text per line, column `story`.

    Raises:
        InputError: no text is found, or the file cannot be written.
    """
    log.info("%d texts in %s", write_docstring_corpus(path), path)
