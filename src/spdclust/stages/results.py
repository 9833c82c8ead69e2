"""Stages: all results -> the registry of their ensembles; one self-contained page of their figures."""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spdclust.core.atomic import atomic_path
from spdclust.core.errors import InputError
from spdclust.files.registry import write_registry

log = logging.getLogger(__name__)


def registry(path: str | Path) -> None:
    """Write the registry of all ensembles in its folder.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_example_ensemble(folder)
        ...     registry(f"{folder}/results/ensemble_registry.db")

    Args:
        path: `<results>/ensemble_registry.db`.

    Raises:
        InputError: a `registered.json` is damaged, or the registry cannot be written.
    """
    log.info("%d ensembles in %s", write_registry(Path(path).parent), path)


def report(snakefile: str | Path, config: Mapping[str, Any], target: str, *, path: str | Path) -> None:
    """Write Snakemake's report on the results of a workflow, which must be there.

    Args:
        snakefile: of the workflow.
        config: its configuration, so that the report is on the same ensembles.
        target: the rule whose results it shows.
        path: output path.

    Raises:
        InputError: Snakemake cannot make the report, or the page cannot be written.
    """
    with atomic_path(path) as page, tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "config.json"
        settings.write_text(json.dumps(config))
        # the name's end decides the format, and the folder is locked by the workflow that this is a job of
        made = Path(folder) / "report.html"
        command = [
            "--snakefile",
            os.fspath(snakefile),
            "--nolock",
            "--quiet",
            "all",
            "--report",
            os.fspath(made),
            "--configfile",
            os.fspath(settings),
        ]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "snakemake", *command, "--", target],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode or not made.is_file():
            raise InputError(
                "Snakemake could not write the report",
                file=path,
                found=(done.stdout.strip().splitlines() or ["no message"])[-1],
                allowed=f"results of {target} that are there and up to date",
            )
        page.write_bytes(made.read_bytes())
