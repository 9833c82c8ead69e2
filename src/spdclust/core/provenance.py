"""The provenance record of a history, the git state, and the check that results are of one model."""

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spdclust.core.errors import InputError
from spdclust.core.version import __version__

INSIST = "allow_different_models"
"""Name of the setting, the argument and the provenance entry with which several models are accepted."""

_SHOWN = 12


def model_digests(provenance: Mapping[str, Any]) -> set[str]:
    """Return the digests of the checkpoints in the provenance of a history or batch; empty if unknown.

    Example:
        >>> model_digests({"checkpoint_digest": "ab"}), model_digests({})
        ({'ab'}, set())
        >>> sorted(model_digests({"checkpoint_digests": ["cd", "ab"]}))
        ['ab', 'cd']
    """
    several = provenance.get("checkpoint_digests")
    named = [provenance.get("checkpoint_digest"), *(several if isinstance(several, list | tuple) else [])]
    return {digest for digest in named if isinstance(digest, str) and digest}


def check_one_model(
    records: Iterable[tuple[str, Mapping[str, Any]]],
    *,
    subject: str = "runs",
    allowed: bool = False,
    file: str | Path | None = None,
    allowed_text: str = f"one checkpoint, or {INSIST}: true",
) -> None:
    """Raise an error if histories or batches are of different models.

    Those of an unknown model are accepted. Different models are accepted if `allowed`, or if all of a
    known model record `allow_different_models`, as merges under that setting do.

    Example:
        >>> check_one_model([("a", {"checkpoint_digest": "12"}), ("b", {"checkpoint_digest": "34"})])
        Traceback (most recent call last):
        ...
        spdclust.InputError: checkpoint_digest: runs are of different models (found: 12 in a, 34 in b; ...

    Raises:
        InputError: two of them are of different models.
    """
    first: dict[str, str] = {}
    insisted = True
    for name, record in records:
        digests = model_digests(record)
        insisted &= not digests or record.get(INSIST) is True
        for digest in sorted(digests):
            first.setdefault(digest, name)
    if len(first) < 2 or allowed or insisted:
        return
    raise InputError(
        f"{subject} are of different models",
        file=file,
        field="checkpoint_digest",
        found=", ".join(f"{digest[:_SHOWN]} in {name}" for digest, name in list(first.items())[:4]),
        allowed=allowed_text,
    )


def history_provenance(
    digests: Sequence[str],
    made_from: Sequence[Mapping[str, str]],
    code: str,
    git: Mapping[str, Any] | None = None,
    *,
    allow_different_models: bool = False,
) -> dict[str, Any]:
    """Return the provenance record of a history as plain JSON types: its batches and the program.

    `digests` and `made_from` are those of `BatchedActivations`; `git` is `git_state()`, if it is to be
    recorded.

    Example:
        >>> known = history_provenance(["ab"], [{"seed": "7", "checkpoint_digest": "cd"}], "ef")
        >>> known["batches"], known["batch_seeds"], known["checkpoint_digest"]
        (['ab'], [7], 'cd')

    Returns:
        `batches`, `batch_seeds`, `spdclust` (version), `code` (fingerprints by stage); where the batches say
        so `checkpoint_digest`, `inputs` (a digest of what each batch was computed from), `sampling`
        (settings), `files` (names of the user-supplied files of each batch) and `unused_files`; `git`
        (`commit`, `dirty`) where given. Merges that accepted different models record
        `allow_different_models`, and `checkpoint_digests` (of each batch) instead of one digest.
    """
    codes = {"precompute_batches": _common(made_from, "code"), "merge": code}
    sampling = _common(made_from, "sampling")
    inputs = [origin.get("source_digest") or origin.get("inputs_digest") for origin in made_from]
    seeds = [origin.get("seed", "") for origin in made_from]
    digest = _common(made_from, "checkpoint_digest")
    models = [origin.get("checkpoint_digest", "") for origin in made_from]
    files = [origin.get("source") for origin in made_from if "source_digest" in origin]
    record = {
        "batches": list(digests),
        "batch_seeds": [int(seed) for seed in seeds] if all(map(str.isdigit, seeds)) else None,
        "checkpoint_digest": digest,
        "checkpoint_digests": models if digest is None and any(models) else None,
        "allow_different_models": allow_different_models or None,
        "inputs": inputs if all(inputs) else None,
        "files": files or None,
        "unused_files": _common(made_from, "unused"),
        "sampling": None if sampling is None else json.loads(sampling),
        "spdclust": __version__,
        "code": {stage: fingerprint for stage, fingerprint in codes.items() if fingerprint},
        "git": None if git is None else dict(git),
    }
    return {name: value for name, value in record.items() if value is not None}


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


def _common(made_from: Sequence[Mapping[str, str]], name: str) -> str | None:
    """Return the value shared by all batches, or None if it differs or is missing."""
    values = {origin.get(name) for origin in made_from}
    return values.pop() if len(values) == 1 else None


def _git(folder: str | Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
    ).stdout.strip()
