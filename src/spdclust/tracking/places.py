"""Where the files of an ensemble stand that logging reads, and where it notes what was logged."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from spdclust.config.run import LoggingIntervals
from spdclust.config.tracking import TrackingSettings, project_of
from spdclust.errors import InputError
from spdclust.files.atomic import write_text
from spdclust.files.ensemble_folder import EnsembleFolder
from spdclust.files.opening import read_text


class EnsemblePlace(EnsembleFolder):
    """An ensemble on disk, with its logs and notes."""

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

    def batches_note(self, run: int) -> Path:
        """File that says which activations were logged: one for all ensembles that share the batches."""
        return self.logs.parent / "tracking" / f"batches_run_{run}.json"

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
    """Return a note, None where there is none that can be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "run_0.json"
        ...     load_note(path) is None
        ...     Note("demo-run_0-1f2e", source="ab", target="me/mine", complete=True).save(path)
        ...     load_note(path).run_id
        True
        'demo-run_0-1f2e'
    """
    # what pydantic and InputError raise are ValueErrors both
    with contextlib.suppress(ValueError):
        return TypeAdapter(Note).validate_json(read_text(path, "a note of what was logged"), strict=True)
    return None
