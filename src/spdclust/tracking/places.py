"""Where the files of an ensemble stand that logging reads, and where it notes what was logged."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from spdclust.config.load import read_mapping
from spdclust.config.run import ClusteringRunConfig, LoggingIntervals
from spdclust.config.tracking import TrackingSettings, project_of
from spdclust.errors import InputError
from spdclust.files.atomic import write_text
from spdclust.files.opening import read_text


@dataclass(frozen=True)
class EnsemblePlace:
    """An ensemble on disk.

    Attributes:
        folder: `<results>/<run_config>/<ensemble>`.
    """

    folder: Path

    @property
    def name(self) -> str:
        """Folder of the ensemble, below the results."""
        return "/".join(self.folder.resolve().parts[-2:])

    @property
    def logs(self) -> Path:
        """Folder of its logs; inside the ensemble where it stands outside a folder of results."""
        folder = self.folder.resolve()
        logs = folder.parent.parent / "logs"
        return logs / folder.parent.name / folder.name if logs.is_dir() else folder / "logs"

    def record(self, run: int) -> Path:
        """Folder of what the merge of a run wrote down."""
        return self.logs / "merge" / f"run_{run}.record"

    def note(self, name: str) -> Path:
        """File that says what was logged."""
        return self.logs / "tracking" / f"{name}.json"

    def history(self, run: int) -> Path:
        """History of a run."""
        return self.folder / "runs" / f"run_{run}" / "history.zip"

    def batches(self, run: int) -> Path:
        """Folder of the batches of a run."""
        return self.folder.resolve().parent / "precomputed_batches" / f"run_{run}"

    def run_config(self) -> dict[str, Any]:
        """Return the settings of the runs, empty where the ensemble does not hold them."""
        return _mapping(self.folder / "clustering_run_config.json")

    def pipeline_config(self) -> dict[str, Any]:
        """Return the settings of the pipeline, empty where the ensemble does not hold them."""
        return _mapping(self.folder / "pipeline_config.yaml")

    def settings(self, project: str | None = None, entity: str | None = None) -> TrackingSettings:
        """Return where records go.

        Args:
            project: instead of the project that the ensemble's settings name.
            entity: instead of the entity there.

        Raises:
            InputError: nobody names a project.
        """
        run, pipeline = self.run_config(), self.pipeline_config()
        project = project or project_of(run, pipeline)
        if project is None:
            raise InputError(
                "which W&B project is meant is not said",
                file=self.folder,
                field="--project",
                allowed="--project, or wandb_project in the pipeline or run file",
            )
        intervals = LoggingIntervals.model_validate(run.get("logging_intervals") or {})
        entity = entity or pipeline.get("wandb_entity") or run.get("wandb_entity")
        return TrackingSettings(project=project, entity=entity, intervals=intervals)


def _mapping(file: Path) -> dict[str, Any]:
    return read_mapping(file) if file.is_file() else {}


def resolved_run_config(config: ClusteringRunConfig) -> dict[str, Any]:
    """Return a run's settings with every value filled in, as `clustering_run_config.json` holds them."""
    return config.model_dump(mode="json") | {"merge_config": config.merge_config.resolved()}


@dataclass(frozen=True)
class Note:
    """What was logged, and as which W&B run.

    Attributes:
        run_id: id of the W&B run.
        source: digest of what it was made from.
        target: project and entity.
        complete: whether all of it was recorded.
        folder: where W&B keeps it on this machine.
        offline: whether it is still to be sent.
        times: how often this was logged.
    """

    run_id: str
    source: str
    target: str
    complete: bool
    folder: str = ""
    offline: bool = False
    times: int = 1

    def save(self, path: Path) -> None:
        """Write the note.

        Raises:
            InputError: the file cannot be written.
        """
        write_text(path, json.dumps(self.__dict__, indent=1) + "\n")


def load_note(path: Path) -> Note | None:
    """Return a note, None where there is none that can be read."""
    # what pydantic and InputError raise are ValueErrors both
    with contextlib.suppress(ValueError):
        return TypeAdapter(Note).validate_json(read_text(path, "a note of what was logged"), strict=True)
    return None
