"""Where the files of an ensemble stand that logging reads, and where its notes go."""

from pathlib import Path

from spdclust.config.run import LoggingIntervals
from spdclust.config.tracking import TrackingSettings, project_of
from spdclust.core.errors import InputError
from spdclust.files.ensemble_folder import EnsembleFolder


class EnsemblePlace(EnsembleFolder):
    """An ensemble on disk, with its logs and notes.

    Example:
        >>> place = EnsemblePlace(Path("results/resid_mlp1/demo"))
        >>> place.name, place.note("run_0").name
        ('resid_mlp1/demo', 'run_0.json')
    """

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
