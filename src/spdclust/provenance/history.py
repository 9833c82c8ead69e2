"""The provenance record of a history: batches, their model and settings, the program."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from spdclust.core.version import __version__


def history_provenance(
    digests: Sequence[str],
    made_from: Sequence[Mapping[str, str]],
    code: str,
    git: Mapping[str, Any] | None = None,
    *,
    allow_different_models: bool = False,
) -> dict[str, Any]:
    """Return the provenance record of a history as plain JSON types: its batches and the program.

    Example:
        >>> known = history_provenance(["ab"], [{"seed": "7", "checkpoint_digest": "cd"}], "ef")
        >>> known["batches"], known["batch_seeds"], known["checkpoint_digest"]
        (['ab'], [7], 'cd')

    Args:
        digests: `BatchedActivations.digests`.
        made_from: `BatchedActivations.made_from`.
        code: fingerprint of the code of the merge.
        git: `git_state()`, if it is to be recorded.
        allow_different_models: whether the merge accepted batches of different models.

    Returns:
        `batches`, `batch_seeds`, `spdclust` (version), `code` (fingerprints by stage); where the batches say
        so `checkpoint_digest`, `inputs` (a digest of what each batch was computed from), `sampling`
        (settings), `files` (names of the user-supplied files of each batch) and `unused_files`; `git`
        (`commit`, `dirty`) where given. Merges that accepted different models record
        `allow_different_models`, and `checkpoint_digests` (of each batch) instead of one digest.
    """
    codes = {"precompute_batches": _common(made_from, "code"), "merge": code}
    sampling = _common(made_from, "sampling")
    inputs = [made.get("source_digest") or made.get("inputs_digest") for made in made_from]
    seeds = [made.get("seed", "") for made in made_from]
    digest = _common(made_from, "checkpoint_digest")
    models = [made.get("checkpoint_digest", "") for made in made_from]
    files = [made.get("source") for made in made_from if "source_digest" in made]
    told = {
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
    return {name: value for name, value in told.items() if value is not None}


def _common(made_from: Sequence[Mapping[str, str]], name: str) -> str | None:
    """Return the value shared by all batches, or None if it differs or is missing."""
    values = {made.get(name) for made in made_from}
    return values.pop() if len(values) == 1 else None
