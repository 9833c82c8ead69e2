"""Fingerprints of the package's code, digests of files, git state."""

import functools
import hashlib
import subprocess
from pathlib import Path

from spdclust.provenance.source_digests import Source, SourceDigests

PACKAGE = "spdclust"
_NOT_COUNTED = (f"{PACKAGE}.config", f"{PACKAGE}.core.errors", f"{PACKAGE}.core.version")
_SOURCE = Path(__file__).resolve().parents[1]


def code_fingerprint(*entries: str, ignore: tuple[str, ...] = ()) -> str:
    """Return a digest of given parts of the package and all code that they depend on.

    Every name used in a function, class or constant is followed, also through imports, to the statement that
    defines it. The location of these statements is ignored, as are comments, docstrings and layout: code that
    is moved to another module keeps its fingerprint. Nothing is imported.

    Example:
        >>> len(code_fingerprint("spdclust.config.merge"))
        16
        >>> whole = code_fingerprint("spdclust.provenance.code")
        >>> code_fingerprint("spdclust.provenance.code:git_state") == whole
        False

    Args:
        entries: dotted names of modules of this package, or `module:name` for one thing that it defines.
        ignore: modules, or packages with their contents, to exclude.

    Raises:
        ValueError: there is no such module, or it does not define the name.
    """
    graph = _Graph(ignore)
    for entry in entries:
        module, _, name = entry.partition(":")
        if _file_of(module) is None or (name and name not in _source(module).defines):
            raise ValueError(f"no module {entry}" if not name else f"nothing of the name {entry}")
        graph.add(module, name)
    _digests().keep()
    return graph.digest()[:16]


class _Graph:
    """Statements reachable from given entries, numbered in the order of discovery."""

    def __init__(self, ignore: tuple[str, ...]) -> None:
        self._ignore = ignore
        self._numbers: dict[tuple[str, int], int] = {}
        self._waiting: list[tuple[str, int]] = []
        self._entries: list[str] = []

    def add(self, module: str, name: str) -> None:
        """Add an entry: one name of a module, or everything that the module defines."""
        self._entries.append(self._found(module, [name] if name else []))

    def digest(self) -> str:
        """Return the digest of all reachable statements.

        It covers the numbers of what each statement mentions: two functions of the same name cannot change
        places without a change of the digest.
        """
        digest = hashlib.sha256(";".join(self._entries).encode())
        for module, number in self._waiting:  # grows during the loop
            statement = _source(module).statements[number]
            mentioned = [self._mentioned(module, name, statement.imports) for name in statement.names]
            effects = self._statements(module, _source(module).effects)
            digest.update(f"{statement.code}({','.join(mentioned)}){effects};".encode())
        return digest.hexdigest()

    def _statements(self, module: str, numbers: list[int]) -> str:
        found = []
        for number in numbers:
            if (module, number) not in self._numbers:
                self._numbers[module, number] = len(self._numbers)
                self._waiting.append((module, number))
            found.append(self._numbers[module, number])
        return "+".join(map(str, found))

    def _mentioned(self, module: str, name: str, imports: dict[str, str]) -> str:
        first, *rest = name.split(".")
        full = imports.get(first) or _source(module).imports.get(first)
        if full is None:  # of this module, built in, or a variable of the function
            return f"{self._statements(module, _source(module).defines.get(first, []))}.{'.'.join(rest)}"
        return self._imported(full.split("."), rest)

    def _imported(self, full: list[str], rest: list[str]) -> str:
        parts = full + rest
        if parts[0] != PACKAGE:
            return ".".join(parts)
        for length in range(len(parts), 0, -1):
            module = ".".join(parts[:length])
            if _file_of(module) is not None:
                return self._found(module, parts[length:])
        return ".".join(rest)

    def _found(self, module: str, parts: list[str]) -> str:
        """Return numbers for what `module.part.part` is; attributes of what the module defines are added."""
        if any(module == each or module.startswith(f"{each}.") for each in self._ignore):
            return ".".join(parts[1:])
        source = _source(module)
        if not parts:  # the module itself: all that it defines
            return "&".join(self._statements(module, source.defines[name]) for name in sorted(source.defines))
        first, *rest = parts
        if first in source.imports:
            return self._imported(source.imports[first].split("."), rest)
        if module == PACKAGE:  # the version, and how names are looked up
            return ".".join(rest)
        return f"{self._statements(module, source.defines.get(first, []))}.{'.'.join(rest)}"


def stage_fingerprint(stage: str) -> str:
    """Return the fingerprint of one stage of the workflow, as recorded in results.

    Configuration models are excluded, because their values reach the rules through `params`. Error messages
    and the version number are excluded, because they do not change results.

    Example:
        >>> stage_fingerprint("merge") == stage_fingerprint("precompute_batches")
        False
    """
    return code_fingerprint(f"{PACKAGE}.stages.{stage}", ignore=_NOT_COUNTED)


def rule_fingerprint(stage: str, script: str | Path) -> str:
    """Return the fingerprint of a rule: its stage, and the script that calls it.

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
    source = _digests().of(Path(script))
    said = [f"{each.code}({','.join(each.names)})" for each in source.statements]
    _digests().keep()
    return hashlib.sha256(";".join([stage_fingerprint(stage), *said]).encode()).hexdigest()[:16]


@functools.cache
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
def _source(module: str) -> Source:
    path = _file_of(module)
    assert path is not None
    return _digests().of(path)


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
