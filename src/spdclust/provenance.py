"""What made a result: fingerprints of the package's code, digests of files, git state."""

import functools
import hashlib
import subprocess
from pathlib import Path

from spdclust.source_digests import SourceDigests

PACKAGE = "spdclust"
_SOURCE = Path(__file__).resolve().parent


def code_fingerprint(*modules: str, ignore: tuple[str, ...] = ()) -> str:
    """Return a digest of the code that some modules of the package depend on, themselves included.

    Imports inside the package are followed, wherever they stand in a file; comments, docstrings and layout
    do not count. Nothing is imported.

    Example:
        >>> len(code_fingerprint("spdclust.config.merge"))
        16
        >>> code_fingerprint("spdclust.config.merge") == code_fingerprint("spdclust.config.run")
        False

    Args:
        modules: dotted names of modules of this package.
        ignore: modules, or packages with all that is in them, that do not count.

    Raises:
        ValueError: no such module.
    """
    reached: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in reached or any(module == each or module.startswith(f"{each}.") for each in ignore):
            continue
        reached.add(module)
        waiting.extend(_parsed(module)[1])
    digest = hashlib.sha256()
    for module in sorted(reached):
        digest.update(f"{module}={_parsed(module)[0]};".encode())
    _digests().keep()
    return digest.hexdigest()[:16]


def stage_fingerprint(stage: str) -> str:
    """Return the fingerprint of one stage of the workflow, as results record it.

    Configuration models do not count, since their values reach the rules through `params`; the texts of
    errors change no result.

    Example:
        >>> stage_fingerprint("merge") == stage_fingerprint("precompute_batches")
        False
    """
    return code_fingerprint(f"{PACKAGE}.stages.{stage}", ignore=(f"{PACKAGE}.config", f"{PACKAGE}.errors"))


def rule_fingerprint(stage: str, script: str | Path) -> str:
    """Return the fingerprint of a rule: of its stage, and of the script that calls it.

    Example:
        >>> rule_fingerprint("merge", "workflow/scripts/merge.py") == stage_fingerprint("merge")
        False

    Args:
        stage: name of the module in `spdclust.stages`.
        script: the Python file of the rule's `script:`.

    Raises:
        ValueError: no such stage.
        FileNotFoundError: no such script.
    """
    code = f"{stage_fingerprint(stage)};{_digests().of(Path(script))[0]}"
    _digests().keep()
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def _file_of(module: str) -> Path | None:
    base = _SOURCE.joinpath(*module.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@functools.cache
def _digests() -> SourceDigests:
    return SourceDigests()


@functools.cache
def _parsed(module: str) -> tuple[str, tuple[str, ...]]:
    """Return the digest of one module's code and the modules of the package that it imports."""
    path = _file_of(module)
    if path is None:
        raise ValueError(f"no module {module}")
    digest, names = _digests().of(path)
    inside = {name for name in names if name.split(".")[0] == PACKAGE and _file_of(name)}
    return digest, tuple(sorted(inside - {PACKAGE}))


def git_state(folder: str | Path = ".") -> dict[str, str | bool] | None:
    """Return the commit of the work tree and whether its files are changed; None outside git.

    Files that git does not know do not count: results appear while a workflow runs.

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
