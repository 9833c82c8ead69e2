"""What readers of the reference implementation accept in a history: its settings, and their values."""

from collections.abc import Mapping, Sequence
from typing import Any

from spdclust.config.reference_keys import SPD_MERGE_KEYS
from spdclust.core.errors import InputError

_OF_ALL = ("alpha", "iters", "merge_pair_sampling_method", "merge_pair_sampling_kwargs")

READERS: dict[str, tuple[str, ...]] = {
    "spd": SPD_MERGE_KEYS,
    "param-decomp": _OF_ALL,
}
"""Settings in `merge_config` by reader, which rejects any other: `spd` and its successor."""

_SAMPLERS = {"spd": ("range", "mcmc"), "param-decomp": ("range", "mcmc", "exp_rank")}


def settings_for_reader(settings: Mapping[str, Any], labels: Sequence[str], reader: str) -> dict[str, Any]:
    """Return the settings that one reader accepts in a history.

    Example:
        >>> settings_for_reader({"alpha": 2.0, "activation_threshold": 0.1}, ["a:0", "a:1"], "param-decomp")
        {'alpha': 2.0}

    Args:
        settings: the settings for the readers of `spd`, see `stated_settings.reference_settings`.
        labels: the history's labels.
        reader: a name in `READERS`.

    Raises:
        InputError: the reader cannot read such a history.
    """
    method = settings.get("merge_pair_sampling_method", "range")
    if method not in _SAMPLERS[reader]:
        raise InputError(
            f"a history that {reader} does not read",
            field="merge_pair_sampling_method",
            found=method,
            allowed=f"{', '.join(_SAMPLERS[reader])}; or the reader param-decomp",
        )
    threshold = settings.get("activation_threshold")
    if "activation_threshold" in READERS[reader] and threshold is not None and threshold > 1:
        raise InputError(
            f"a history that {reader} does not read",
            field="activation_threshold",
            found=threshold,
            allowed="0 to 1, or null; or the reader param-decomp",
        )
    text = "\n".join(labels)
    if text.splitlines() != list(labels):
        found = next(label for label in labels if label.splitlines() != [label])
        raise InputError(
            f"a history that {reader} does not read: it splits labels at every kind of line end",
            field="labels",
            found=found,
            allowed="labels without line or page separators",
        )
    return {key: settings[key] for key in READERS[reader] if key in settings}
