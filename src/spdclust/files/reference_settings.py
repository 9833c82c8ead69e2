"""Settings in histories of the reference implementation, read and written.

What such a history does not state is unknown, not our default. Its readers accept different settings and
labels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from spdclust.config.load import validate
from spdclust.config.merge import MergeConfig
from spdclust.config.reference_keys import MERGE_KEYS_OF_READERS, SPD_MERGE_KEYS
from spdclust.core.errors import InputError
from spdclust.merge.history import GIVEN_ON_IMPORT, NOT_STATED, MergeHistory

_SAMPLERS = {"spd": ("range", "mcmc"), "param-decomp": ("range", "mcmc", "exp_rank")}
_WITHOUT_NULL = ("merge_pair_sampling_method", "merge_pair_sampling_kwargs")


def not_stated_by(settings: Any) -> list[str]:
    """Return the settings that a history of the reference implementation does not state.

    Example:
        >>> not_stated_by(dict.fromkeys(SPD_MERGE_KEYS[1:]))
        ['activation_threshold']
    """
    if not isinstance(settings, Mapping):
        return []
    # the oldest version states the threshold of its sampler under a key of its own
    stated = {*settings, "merge_pair_sampling_kwargs"} if "check_threshold" in settings else set(settings)
    return [key for key in SPD_MERGE_KEYS if key not in stated]


def read_settings(content: Any, not_stated: Iterable[str] = ()) -> MergeConfig:
    """Return the settings in a history's metadata; those that are not stated are None, of whatever type.

    Example:
        >>> config = read_settings({"alpha": 10.0}, ["activation_threshold", "filter_dead_threshold"])
        >>> config.alpha, config.activation_threshold, config.filter_dead_threshold
        (10.0, None, None)

    Raises:
        InputError: a setting is unknown or its value is not allowed.
    """
    unknown = [key for key in not_stated if key in MergeConfig.model_fields]
    if isinstance(content, Mapping):
        content = {key: value for key, value in content.items() if key not in unknown}
    try:
        config = validate(MergeConfig, content)
    except InputError as error:
        field = f"metadata.json: merge_config.{error.field or ''}".removesuffix(".")
        raise InputError(error.problem, field=field, found=error.found, allowed=error.allowed) from error
    return config.model_copy(update={key: None for key in unknown if key not in _WITHOUT_NULL})


def reference_settings(history: MergeHistory) -> dict[str, Any]:
    """Return the settings of a merge for the reference implementation's readers.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> reference_settings(example_history())["activation_threshold"]
        0.1
    """
    settings = history.config.resolved()
    stated = {key: settings[key] for key in SPD_MERGE_KEYS if key not in history.not_stated}
    # its reader supports a single prefix only
    return {key: None if isinstance(value, list) else value for key, value in stated.items()}


def give_settings(history: MergeHistory, given: Mapping[str, Any]) -> MergeHistory:
    """Return a history with settings that it does not state, and record that they were given.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> unknown = ["activation_threshold", "alpha"]
        >>> config = read_settings({}, unknown)
        >>> history = replace(example_history(), config=config, provenance={"not_stated": unknown})
        >>> history = give_settings(history, {"activation_threshold": 0.1})
        >>> history.config.activation_threshold, history.not_stated, history.provenance["given_on_import"]
        (0.1, ('alpha',), ['activation_threshold'])

    Args:
        history: the history.
        given: values by the names of `MergeConfig`; one that the history states must have the same value.

    Raises:
        InputError: the history states another value, or a value is not allowed.
    """
    if not given:
        return history
    before = history.settings()
    stated = {key: value for key, value in before.items() if key not in history.not_stated}
    settings = MergeConfig.model_validate(stated | dict(given)).resolved()
    for key in given:
        if key in stated and settings[key] != stated[key]:
            raise InputError(
                "the history states another value",
                field=f"merge_config.{key}",
                found=settings[key],
                allowed=f"{stated[key]}; not stated: {', '.join(history.not_stated) or 'nothing'}",
            )
    left = [key for key in history.not_stated if key not in given]
    new = sorted(set(given) & set(history.not_stated))
    provenance = {key: value for key, value in history.provenance.items() if key != NOT_STATED}
    provenance |= {NOT_STATED: left} if left else {}
    provenance |= {GIVEN_ON_IMPORT: new} if new else {}
    return replace(history, config=read_settings(settings, left), provenance=provenance)


def settings_for_reader(settings: Mapping[str, Any], labels: Sequence[str], reader: str) -> dict[str, Any]:
    """Return the settings that one reader accepts in a history.

    Example:
        >>> settings_for_reader({"alpha": 2.0, "activation_threshold": 0.1}, ["a:0", "a:1"], "param-decomp")
        {'alpha': 2.0}

    Args:
        settings: the settings for the readers of `spd`, see `stated_settings.reference_settings`.
        labels: the history's labels.
        reader: a name in `MERGE_KEYS_OF_READERS`.

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
    if "activation_threshold" in MERGE_KEYS_OF_READERS[reader] and threshold is not None and threshold > 1:
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
    return {key: settings[key] for key in MERGE_KEYS_OF_READERS[reader] if key in settings}
