"""The only module that calls W&B: nothing it does can stop, or long hold up, what it reports on."""

import contextlib
import importlib
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spdclust.tracking.tracker import NoTracker, RunDescription, Tracker

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
"""How long W&B may take before it is left alone; the variables `WANDB_<NAME>` say otherwise."""

_LEAST_SPACE = 2**20
"""Bytes that must be free when a run ends, or what it recorded is not trusted to be whole."""

_FIXED: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_save_requirements": False,
}
"""What belongs to the process that logs, which need not be the one that merged, is left out."""


class WandbTracker:
    """A W&B run that warns once and switches itself off at the first error.

    Args:
        run: what `wandb.init` returned.
        description: what it was made from.
    """

    def __init__(self, run: Any, description: RunDescription) -> None:
        self._run = run
        self._description = description
        self._works = True
        self.folder = Path(run.settings.sync_dir)
        self.offline = bool(run.offline)

    def log(self, values: Mapping[str, Any]) -> None:
        """Add one row."""
        with self._guarded():
            self._run.log({name: _for_wandb(value) for name, value in values.items()})

    def artifact(
        self,
        name: str,
        kind: str,
        files: Mapping[str, Path],
        metadata: Mapping[str, Any],
        aliases: Sequence[str] = (),
    ) -> None:
        """Add files."""
        with self._guarded():
            import wandb

            made = wandb.Artifact(name, type=kind, metadata=dict(metadata))
            for file_name, path in files.items():
                # copied by the client now: the caller's file may go
                made.add_file(str(path), name=file_name, policy="mutable")
            self._run.log_artifact(made, aliases=["latest", *aliases])

    def summarize(self, values: Mapping[str, Any]) -> None:
        """Set single figures."""
        with self._guarded():
            self._run.summary.update({name: _for_wandb(value) for name, value in values.items()})

    def finish(self) -> bool:
        """End the run."""
        with self._guarded():
            self._run.finish(exit_code=0)
            # the client says nothing of a full disk: it records what fits
            if shutil.disk_usage(self.folder).free < _LEAST_SPACE:
                raise OSError(f"no space left in WANDB_DIR, {self.folder.parent}")
        if not self._works:
            with contextlib.suppress(Exception):
                _teardown(1)
        return self._works

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        if not self._works:
            # a block cannot be skipped from here; the run's own methods are no longer there
            with contextlib.suppress(Exception):
                yield
            return
        try:
            yield
        except Exception as error:  # the client raises nearly anything
            self._works = False
            self._run = _Gone()
            log.warning(
                "W&B failed (%s); the run goes on without it. What was recorded is in %s: send it with "
                "`wandb sync %s`, or record everything again with `spdclust wandb-sync <ensemble> --again`",
                _one_line(error), self.folder, self.folder,
            )  # fmt: skip


class _Gone:
    """Stands in for a run that failed: every use of it fails at once."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("the W&B run failed before")


def open_tracker(description: RunDescription) -> Tracker:
    """Begin a W&B run, online or offline as the environment says; never asks for a login.

    Where the service cannot be used (no network, no key, an id that is taken), the run is recorded on disk
    instead and a warning says how to send it; where that fails too, nothing is recorded.

    Example:
        >>> from unittest.mock import patch
        >>> from spdclust.tracking.tracker import RunDescription
        >>> described = RunDescription("mine", None, run_id="demo-run_0", group="demo", job_type="merge")
        >>> with patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     tracker = open_tracker(described)
        >>> tracker.log({"iteration": 0, "k_groups": 12})
        >>> tracker.finish()  # whether everything was recorded
        False

    Args:
        description: what the run is called and belongs to.
    """
    try:
        importlib.import_module("wandb")
    except Exception as error:
        log.warning("W&B cannot be loaded (%s); nothing is logged: pip install wandb", _one_line(error))
        return NoTracker()
    try:
        with _no_questions():
            return _begin(description)
    except Exception as error:
        problem = _one_line(error)
    with contextlib.suppress(Exception):
        _teardown(1)
    try:
        with _no_questions():
            tracker = _begin(description, mode="offline")
    except Exception as error:
        with contextlib.suppress(Exception):
            _teardown(1)
        log.warning(
            "W&B cannot be used (%s), nor can the run be recorded on disk (%s); nothing is logged. Set "
            "WANDB_DIR to a folder with space, then: spdclust wandb-sync <ensemble>",
            problem, _one_line(error),
        )  # fmt: skip
        return NoTracker()
    folder = tracker.folder if isinstance(tracker, WandbTracker) else None
    log.warning(
        "W&B cannot be used: %s. The run is recorded in %s; send it with `wandb sync %s`%s",
        problem, folder, folder,
        f" --id {description.run_id}-2" if _is_taken(problem) else _after_login(problem),
    )  # fmt: skip
    return tracker


def _begin(description: RunDescription, mode: str | None = None) -> Tracker:
    import wandb

    given = {name: value for name, value in _SECONDS.items() if _variable(name) not in os.environ}
    # the client reads its variables once in a process, when it is first used for anything
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
        # what is there is never written over
        resume="never",
        reinit="finish_previous",
        settings=wandb.Settings(**settings),
    )
    if run.disabled:
        log.info("W&B is disabled (WANDB_MODE); nothing is logged")
        return NoTracker()
    run.define_metric(description.axis)
    run.define_metric("*", step_metric=description.axis)
    return WandbTracker(run, description)


def _variable(name: str) -> str:
    return "WANDB_" + name.upper().replace("X_", "_", 1) if name.startswith("x_") else f"WANDB_{name.upper()}"


@contextlib.contextmanager
def _no_questions() -> Iterator[None]:
    """Take the terminal away, so that a missing key is an error and not a question."""
    kept = sys.stdin
    with open(os.devnull, encoding="utf-8") as nothing:
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = kept


def _teardown(exit_code: int) -> None:
    import wandb

    wandb.teardown(exit_code)


def _is_taken(problem: str) -> bool:
    return "resume='never'" in problem or "already exists" in problem


def _after_login(problem: str) -> str:
    return " after `wandb login`" if "API key" in problem or "log in" in problem else " later"


def _for_wandb(value: Any) -> Any:
    import wandb

    if hasattr(value, "savefig"):  # importing matplotlib to ask for its type takes longer than a short merge
        return wandb.Image(_picture(value))
    if isinstance(value, Path):
        return wandb.Image(str(value))
    if isinstance(value, Mapping) and "edges" in value:
        return wandb.Histogram(np_histogram=(value["counts"], value["edges"]))
    if isinstance(value, Mapping) and "columns" in value:
        return wandb.Table(columns=list(value["columns"]), data=[list(row) for row in value["rows"]])
    return value


def _picture(figure: Any) -> Any:
    """Return a figure as pixels: written by matplotlib, so that no global state of it is needed."""
    import io

    from PIL import Image

    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=100)
    written.seek(0)
    return Image.open(written)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"
