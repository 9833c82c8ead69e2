"""What made a result: fingerprints of the stages' code, and the git state."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

from spdclust.core.code_fingerprint import PACKAGE, code_fingerprint, file_code

_NOT_COUNTED = tuple(
    f"{PACKAGE}.{each}" for each in ("config", "core.errors", "core.version", "plotting.registry")
)


def stage_fingerprint(stage: str, functions: Mapping[str, str] | None = None) -> str:
    """Return the fingerprint of one stage of the workflow, as results record it.

    Configuration models do not count, since their values reach the rules through `params`; the texts of
    errors and the number of the version change no result. Of the registry of figures only what is in
    `functions` counts.

    Example:
        >>> stage_fingerprint("merge") == stage_fingerprint("precompute_batches")
        False

    Args:
        stage: name of the module in `spdclust.stages`.
        functions: functions that the stage finds by name, as `module:function`, by what they are for.

    Raises:
        ValueError: no such stage, or no such function.
    """
    named = sorted((functions or {}).items())
    code = code_fingerprint(
        f"{PACKAGE}.stages.{stage}", *[function for _, function in named], ignore=_NOT_COUNTED
    )
    if not named:
        return code
    return hashlib.sha256(f"{code};{[purpose for purpose, _ in named]}".encode()).hexdigest()[:16]


def rule_fingerprint(stage: str, script: str | Path, functions: Mapping[str, str] | None = None) -> str:
    """Return the fingerprint of a rule: of its stage, and of the script that calls it.

    Example:
        >>> rule_fingerprint("merge", "workflow/scripts/merge.py") == stage_fingerprint("merge")
        False

    Args:
        stage: name of the module in `spdclust.stages`.
        script: the Python file of the rule's `script:`.
        functions: functions that the stage finds by name, see `stage_fingerprint`.

    Raises:
        ValueError: no such stage, or no such function.
        FileNotFoundError: no such script.
    """
    code = f"{stage_fingerprint(stage, functions)};{file_code(script)}"
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def git_state(folder: str | Path = ".") -> dict[str, str | bool] | None:
    """Return the commit of the work tree and whether it has changes; None outside git.

    Untracked files are ignored, because results appear while a workflow runs.

    Example:
        >>> git_state("/") is None
        True
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git(folder: str | Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
    ).stdout.strip()
