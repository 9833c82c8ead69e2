"""Stages around all results: an ensemble's configuration, the registry, one page of all figures."""

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
from spdclust.files.ensemble_folder import save_pipeline_config, save_run_config
from spdclust.files.summaries import write_registry

log = logging.getLogger(__name__)


def registry(path: str | Path) -> None:
    """Write the registry of all ensembles in its folder.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> _ = write_example_ensemble(folder)
        >>> registry(f"{folder}/results/ensemble_registry.db")

    Raises:
        InputError: a `registered.json` is damaged, or the registry cannot be written.
    """
    log.info("%d ensembles in %s", write_registry(Path(path).parent), path)


def report(snakefile: str | Path, config: Mapping[str, Any], target: str, *, path: str | Path) -> None:
    """Write Snakemake's report on the results of a workflow, which must be there.

    Raises:
        InputError: Snakemake cannot make the report, or the page cannot be written.
    """
    with atomic_path(path) as page, tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "config.json"
        settings.write_text(json.dumps(config))
        # the name's end decides the format, and the folder is locked by the workflow that this is a job of
        output = Path(folder) / "report.html"
        command = [
            "--snakefile",
            os.fspath(snakefile),
            "--nolock",
            "--quiet",
            "all",
            "--report",
            os.fspath(output),
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
        if done.returncode or not output.is_file():
            raise InputError(
                "Snakemake could not write the report",
                file=path,
                found=(done.stdout.strip().splitlines() or ["no message"])[-1],
                allowed=f"results of {target} that are there and up to date",
            )
        page.write_bytes(output.read_bytes())


def resolve_configuration(
    pipeline: Mapping[str, Any], run: Mapping[str, Any], *, pipeline_path: str | Path, run_path: str | Path
) -> None:
    """Write `pipeline_config.yaml` and `clustering_run_config.json`.

    Example:
        >>> from spdclust.config.run import ClusteringRunConfig
        >>> run = ClusteringRunConfig(model_path="resources/resid_mlp1").model_dump(mode="json")
        >>> pipeline_file, run_file = folder / "pipeline_config.yaml", folder / "run.json"
        >>> resolve_configuration({"n_runs": 4}, run, pipeline_path=pipeline_file, run_path=run_file)
        >>> pipeline_file.read_text().strip(), '"batch_size": 128' in run_file.read_text()
        ('n_runs: 4', True)

    Raises:
        InputError: a file cannot be written.
    """
    save_pipeline_config(pipeline, pipeline_path)
    save_run_config(run, run_path)
