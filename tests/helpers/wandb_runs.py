"""Runs that the W&B client recorded on disk, read back with its own inspect command."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from wandb.util import get_core_path


@dataclass
class RecordedRun:
    """What a `.wandb` file holds."""

    run: dict
    config: dict
    rows: list[dict] = field(default_factory=list)
    metrics: list[dict] = field(default_factory=list)
    artifacts: list[dict] = field(default_factory=list)
    summary: dict = field(default_factory=dict)

    def column(self, name: str) -> dict[int, float]:
        """Values of a metric by iteration."""
        return {row["iteration"]: row[name] for row in self.rows if name in row}

    def names(self) -> set[str]:
        return {name for row in self.rows for name in row if not name.startswith("_")}


def read_run(folder: Path) -> RecordedRun:
    """Read a run's folder (`offline-run-…`)."""
    (file,) = folder.glob("run-*.wandb")
    # what `python -m wandb leet inspect --json` starts, without a Python that imports the client
    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", str(file)]
    done = subprocess.run(
        [*command, str(folder.parent)], capture_output=True, text=True, timeout=600, check=True
    )
    records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    (run,) = (record["run"] for record in records if record["type"] == "run")
    recorded = RecordedRun(run, run["config"]["update"])
    for record in records:
        if record["type"] == "history":
            recorded.rows.append(record["history"]["item"])
        elif record["type"] == "metric":
            recorded.metrics.append(record["metric"])
        elif record["type"] == "artifact":
            recorded.artifacts.append(record["artifact"])
        elif record["type"] == "summary":
            recorded.summary |= record["summary"].get("update", {})
    return recorded


def recorded_runs(folder: Path) -> dict[str, Path]:
    """Folders of the runs below a `WANDB_DIR` by run id."""
    found = sorted((folder / "wandb").glob("offline-run-*"))
    return {path.name.split("-", 3)[3]: path for path in found}
