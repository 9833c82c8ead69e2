"""The only module that calls W&B. A failure is one warning, never an error; calls have a time limit."""

import contextlib
import importlib
import io
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
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
"""Time limits of the client; its environment variables `WANDB_<NAME>` override them."""

_FIXED: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_save_requirements": False,
}
"""Nothing about the process that logs is recorded: another one may have merged."""

_LEAST_SPACE = 2**20  # bytes that must be free when a run ends, or its record may be incomplete


class Tracker:
    """A W&B run that warns once and records nothing more after the first error.

    Attributes:
        folder: where W&B keeps the run on this machine.
        offline: whether the run is only on this machine, to be uploaded later.
    """

    def __init__(self, run: Any = None) -> None:
        self._run = run
        self.folder = None if run is None else Path(run.settings.sync_dir)
        self.offline = run is None or bool(run.offline)

    def log(self, values: Mapping[str, Any]) -> None:
        """Add one row; figures and paths are pictures.

        Mappings of `counts` and `edges` are histograms, of `columns` and `rows` tables.
        """
        self._try(lambda run: run.log({name: _for_wandb(value) for name, value in values.items()}))

    def artifact(
        self,
        name: str,
        kind: str,
        files: Iterable[Path],
        metadata: Mapping[str, Any],
        aliases: Sequence[str] = (),
    ) -> None:
        """Add files as one artifact, with metadata."""

        def add(run: Any) -> None:
            artifact = _wandb().Artifact(name, type=kind, metadata=dict(metadata))
            for path in files:
                # copied by the client now: the caller may remove the file
                artifact.add_file(str(path), policy="mutable")
            run.log_artifact(artifact, aliases=["latest", *aliases])

        self._try(add)

    def summarize(self, values: Mapping[str, Any]) -> None:
        """Set summary values of the run."""
        self._try(lambda run: run.summary.update(dict(values)))

    def finish(self) -> bool:
        """End the run; return whether all of it was recorded."""

        def end(run: Any) -> None:
            run.finish(exit_code=0)
            # the client does not report a full disk
            if shutil.disk_usage(run.settings.sync_dir).free < _LEAST_SPACE:
                raise OSError(f"no space left in WANDB_DIR, {Path(run.settings.sync_dir).parent}")

        self._try(end)
        return self._run is not None

    def _try(self, action: Callable[[Any], None]) -> None:
        if self._run is None:
            return
        try:
            action(self._run)
        except Exception as error:  # the client raises many types
            self._run = None
            log.warning(
                "W&B failed (%s); the run continues without it. What was recorded is in %s: send it with "
                "`wandb sync %s`, or record everything again with `spdclust wandb-sync <ensemble> --again`",
                _one_line(error), self.folder, self.folder,
            )  # fmt: skip
            _teardown()


def open_tracker(described: Mapping[str, Any]) -> Tracker:
    """Start a W&B run, online or offline as in the environment variables; never prompt for a login.

    If the service cannot be used (no network, no key, an existing id), the run is recorded on disk, with a
    warning that shows how to upload it; if that fails too, nothing is recorded.

    Example:
        >>> tracker = open_tracker({"project": "mine", "id": "demo-run_0", "job_type": "merge"})
        >>> tracker.log({"iteration": 0, "k_groups": 12})
        >>> tracker.finish()  # whether everything was recorded
        False
    """
    problems: list[str] = []
    stdin, sys.stdin = sys.stdin, None  # without it, a missing key is an error instead of a prompt
    try:
        # the client reads its environment variables once per process, at first use
        for mode in (os.environ.get("WANDB_MODE") or None, "offline"):
            try:
                run = _begin(described, mode)
                break
            except Exception as error:
                problems.append(_one_line(error))
                _teardown()
    finally:
        sys.stdin = stdin
    if len(problems) == 2:
        log.warning(
            "W&B cannot be used (%s), nor can the run be recorded on disk (%s); nothing is logged. Set "
            "WANDB_DIR to a folder with space, then: spdclust wandb-sync <ensemble>",
            *problems,
        )
        return Tracker()
    if run.disabled:
        log.info("W&B is disabled (WANDB_MODE); nothing is logged")
        return Tracker()
    tracker = Tracker(run)
    for problem in problems:
        if "resume='never'" in problem or "already exists" in problem:
            then = f" --id {described['id']}-2"
        else:
            then = " after `wandb login`" if "API key" in problem or "log in" in problem else " later"
        log.warning(
            "W&B cannot be used: %s. The run is recorded in %s; send it with `wandb sync %s`%s",
            problem, tracker.folder, tracker.folder, then,
        )  # fmt: skip
    return tracker


def _begin(described: Mapping[str, Any], mode: str | None) -> Any:
    settings: dict[str, Any] = {
        name: seconds
        for name, seconds in _SECONDS.items()
        if f"WANDB_{name.upper().removeprefix('X')}" not in os.environ
    }
    settings |= _FIXED | ({"mode": mode} if mode else {})
    run = _wandb().init(
        **described,
        name=described["id"],
        # an existing run is never overwritten
        resume="never",
        reinit="finish_previous",
        settings=_wandb().Settings(**settings),
    )
    if not run.disabled:
        axis = "batch" if described["job_type"] == "batches" else "iteration"
        run.define_metric(axis)
        run.define_metric("*", step_metric=axis)
    return run


def _teardown() -> None:
    with contextlib.suppress(Exception):
        _wandb().teardown(1)


def _wandb() -> Any:
    return importlib.import_module("wandb")  # slow to import, and not needed where nothing is logged


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
    # importing matplotlib for an isinstance check would take longer than a short merge
    if hasattr(value, "savefig"):
        from PIL import Image

        # the client would need matplotlib's global state
        value.savefig(written := io.BytesIO(), format="png", dpi=100)
        return _wandb().Image(Image.open(written))
    if isinstance(value, Path):
        return _wandb().Image(str(value))
    if isinstance(value, Mapping) and "edges" in value:
        return _wandb().Histogram(np_histogram=(value["counts"], value["edges"]))
    if isinstance(value, Mapping) and "columns" in value:
        return _wandb().Table(columns=list(value["columns"]), data=[list(row) for row in value["rows"]])
    return value


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"
