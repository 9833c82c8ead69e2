"""Check that histories and batches come from one model, by the digests of its checkpoint."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spdclust.core.errors import InputError

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
    what: str = "runs",
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

    Args:
        records: name in messages and provenance of each.
        what: what the records are of, for messages.
        allowed: whether to accept different models.
        file: file or folder of the runs, for messages.
        allowed_text: what is allowed, for messages.

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
        f"{what} are of different models",
        file=file,
        field="checkpoint_digest",
        found=", ".join(f"{digest[:_SHOWN]} in {name}" for digest, name in list(first.items())[:4]),
        allowed=allowed_text,
    )
