"""The only module that calls W&B. A failure is one warning, never an error; calls have a time limit."""

import contextlib
import importlib
import io
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_SECONDS: dict[str, float] = {
    "init_timeout": 20,
    "login_timeout": 5,
    "finish_timeout": 120,
    "summary_timeout": 10,
    "x_graphql_timeout_seconds": 5,
    "x_graphql_retry_max": 2,
    "x_graphql_retry_wait_max_seconds": 2,
    "x_file_stream_timeout_seconds": 20,
    "x_file_stream_retry_max": 3,
    "x_file_transfer_retry_max": 3,
}
"""Time limits of the client; its variables `WANDB_<NAME>` come first."""

_LEAST_SPACE = 2**20
"""Bytes that must be free when a run ends, or what it recorded may be incomplete."""

_FIXED: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_save_requirements": False,
}
"""What describes the process that logs, which need not be the one that merged, is left out."""


@dataclass(frozen=True)
class RunDescription:
    """Name, group and settings of a W&B run.

    Attributes:
        project: W&B project.
        entity: W&B user or team, None for the default one of the account.
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


class Tracker:
    """A tracker that records nothing; the base of `WandbTracker`.

    Example:
        >>> tracker = Tracker()
        >>> tracker.log({"iteration": 0})
        >>> tracker.finish()  # whether everything was recorded
        False
    """

    folder: Path | None = None
    """Where W&B keeps the run on this machine."""
    offline = True
    """Whether the run is still to be sent."""

    def log(self, values: Mapping[str, Any]) -> None:
        """Add one row; figures and paths are pictures.

        Mappings of `counts` and `edges` are histograms, of `columns` and `rows` tables.
        """

    def artifact(
        self,
        name: str,
        kind: str,
        files: Mapping[str, Path],
        metadata: Mapping[str, Any],
        aliases: Sequence[str] = (),
    ) -> None:
        """Add files by name, with metadata."""

    def summarize(self, values: Mapping[str, Any]) -> None:
        """Set summary values of the run."""

    def finish(self) -> bool:
        """End the run; return whether all of it was recorded."""
        return False


class WandbTracker(Tracker):
    """A W&B run that warns once and disables itself at the first error.

    Args:
        run: the result of `wandb.init`.
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        self._works = True
        self.folder: Path = Path(run.settings.sync_dir)
        self.offline = bool(run.offline)

    def log(self, values: Mapping[str, Any]) -> None:
        """Add one row."""
        self._try(lambda: self._run.log({name: _for_wandb(value) for name, value in values.items()}))

    def artifact(
        self,
        name: str,
        kind: str,
        files: Mapping[str, Path],
        metadata: Mapping[str, Any],
        aliases: Sequence[str] = (),
    ) -> None:
        """Add files."""

        def add() -> None:
            import wandb

            artifact = wandb.Artifact(name, type=kind, metadata=dict(metadata))
            for file_name, path in files.items():
                # copied by the client now: the caller may remove the file
                artifact.add_file(str(path), name=file_name, policy="mutable")
            self._run.log_artifact(artifact, aliases=["latest", *aliases])

        self._try(add)

    def summarize(self, values: Mapping[str, Any]) -> None:
        """Set single values."""
        self._try(
            lambda: self._run.summary.update({name: _for_wandb(value) for name, value in values.items()})
        )

    def finish(self) -> bool:
        """End the run."""

        def end() -> None:
            self._run.finish(exit_code=0)
            # the client does not report a full disk
            if shutil.disk_usage(self.folder).free < _LEAST_SPACE:
                raise OSError(f"no space left in WANDB_DIR, {self.folder.parent}")

        self._try(end)
        if not self._works:
            _teardown()
        return self._works

    def _try(self, action: Callable[[], None]) -> None:
        if not self._works:
            return
        try:
            action()
        except Exception as error:  # the client raises many types
            self._works = False
            log.warning(
                "W&B failed (%s); the run continues without it. What was recorded is in %s: send it with "
                "`wandb sync %s`, or record everything again with `spdclust wandb-sync <ensemble> --again`",
                _one_line(error), self.folder, self.folder,
            )  # fmt: skip


def open_tracker(description: RunDescription) -> Tracker:
    """Start a W&B run, online or offline as the environment variables say; never prompt for a login.

    If the service cannot be used (no network, no key, an existing id), the run is recorded on disk, with a
    warning that shows how to upload it; if that fails too, nothing is recorded.

    Example:
        >>> from unittest.mock import patch
        >>> described = RunDescription("mine", None, run_id="demo-run_0", group="demo", job_type="merge")
        >>> with patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     tracker = open_tracker(described)
        >>> tracker.log({"iteration": 0, "k_groups": 12})
        >>> tracker.finish()  # whether everything was recorded
        False

    Args:
        description: name, group and settings of the run.
    """
    try:
        importlib.import_module("wandb")
    except Exception as error:
        log.warning("W&B cannot be loaded (%s); nothing is logged: pip install wandb", _one_line(error))
        return Tracker()
    try:
        with _no_questions():
            return _begin(description)
    except Exception as error:
        problem = _one_line(error)
    _teardown()
    try:
        with _no_questions():
            tracker = _begin(description, mode="offline")
    except Exception as error:
        _teardown()
        log.warning(
            "W&B cannot be used (%s), nor can the run be recorded on disk (%s); nothing is logged. Set "
            "WANDB_DIR to a folder with space, then: spdclust wandb-sync <ensemble>",
            problem, _one_line(error),
        )  # fmt: skip
        return Tracker()
    if "resume='never'" in problem or "already exists" in problem:
        then = f" --id {description.run_id}-2"
    else:
        then = " after `wandb login`" if "API key" in problem or "log in" in problem else " later"
    log.warning(
        "W&B cannot be used: %s. The run is recorded in %s; send it with `wandb sync %s`%s",
        problem, tracker.folder, tracker.folder, then,
    )  # fmt: skip
    return tracker


def _begin(description: RunDescription, mode: str | None = None) -> Tracker:
    import wandb

    given = {name: value for name, value in _SECONDS.items() if _variable(name) not in os.environ}
    # the client reads its environment variables once per process, at first use
    mode = mode or os.environ.get("WANDB_MODE") or None
    settings: Any = _FIXED | given | ({"mode": mode} if mode else {})
    run = wandb.init(
        project=description.project,
        entity=description.entity,
        id=description.run_id,
        name=description.run_id,
        group=description.group,
        job_type=description.job_type,
        tags=[tag[:64] for tag in description.tags],
        config=dict(description.config),
        notes=description.notes,
        # an existing run is never overwritten
        resume="never",
        reinit="finish_previous",
        settings=wandb.Settings(**settings),
    )
    if run.disabled:
        log.info("W&B is disabled (WANDB_MODE); nothing is logged")
        return Tracker()
    run.define_metric(description.axis)
    run.define_metric("*", step_metric=description.axis)
    return WandbTracker(run)


def _variable(name: str) -> str:
    return "WANDB_" + name.upper().replace("X_", "_", 1) if name.startswith("x_") else f"WANDB_{name.upper()}"


@contextlib.contextmanager
def _no_questions() -> Iterator[None]:
    """Detach standard input, so that a missing key is an error instead of a prompt."""
    before = sys.stdin
    with open(os.devnull, encoding="utf-8") as nothing:
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = before


def _teardown() -> None:
    with contextlib.suppress(Exception):
        import wandb

        wandb.teardown(1)


def kill_service() -> None:
    """End the client's service process, so that nothing waits for it.

    Example:
        >>> kill_service()  # no effect if none is running
    """
    with contextlib.suppress(Exception):
        setup: Any = importlib.import_module("wandb.sdk.wandb_setup")
        # private API: pyproject.toml pins the minor version that has these names
        connection = setup._singleton._connection
        connection._cleanup()  # its exit hook would fail after the service has ended
        connection._proc._process.kill()


def _for_wandb(value: Any) -> Any:
    import wandb

    if hasattr(
        value, "savefig"
    ):  # importing matplotlib for an isinstance check would take longer than a short merge
        return wandb.Image(_picture(value))
    if isinstance(value, Path):
        return wandb.Image(str(value))
    if isinstance(value, Mapping) and "edges" in value:
        return wandb.Histogram(np_histogram=(value["counts"], value["edges"]))
    if isinstance(value, Mapping) and "columns" in value:
        return wandb.Table(columns=list(value["columns"]), data=[list(row) for row in value["rows"]])
    return value


def _picture(figure: Any) -> Any:
    """Return a figure as an image, drawn without matplotlib's global state."""
    from PIL import Image

    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=100)
    written.seek(0)
    return Image.open(written)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"
