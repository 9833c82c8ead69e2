"""What can be logged, and under which name, whoever takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class RunDescription:
    """What a W&B run is called and belongs to.

    Attributes:
        project: W&B project.
        entity: W&B user or team, None for the account's own.
        run_id: id and name.
        group: ensemble.
        job_type: `batches`, `merge`, `distances` or `report`.
        tags: short texts to filter by.
        config: settings, plain JSON types.
        axis: the metric that is the horizontal axis of all others.
        notes: free text; links to the parent run.
    """

    project: str
    entity: str | None
    run_id: str
    group: str
    job_type: str
    tags: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    axis: str = "iteration"
    notes: str | None = None


@runtime_checkable
class Tracker(Protocol):
    """Where the records of one run go."""

    def log(self, values: Mapping[str, Any]) -> None:
        """Add one row; mappings of `counts` and `edges` are histograms, of `columns` and `rows` tables.

        `Figure`s and paths are pictures.
        """
        return None

    def artifact(
        self,
        name: str,
        kind: str,
        files: Mapping[str, Path],
        metadata: Mapping[str, Any],
        aliases: Sequence[str] = (),
    ) -> None:
        """Add files under their names, with what is to be known about them."""
        return None

    def summarize(self, values: Mapping[str, Any]) -> None:
        """Set single figures of the whole run."""
        return None

    def finish(self) -> bool:
        """End the run; return whether all of it was recorded."""


class NoTracker(Tracker):
    """Takes everything and keeps nothing.

    Example:
        >>> tracker = NoTracker()
        >>> tracker.log({"iteration": 0})
        >>> tracker.finish()  # whether everything was recorded
        False
    """

    def finish(self) -> bool:
        """Return that nothing was recorded."""
        return False
