"""Reading configuration files: YAML or JSON to checked settings, with errors that name file and field."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from spdclust.config.yaml_text import parse_yaml
from spdclust.errors import InputError
from spdclust.files.opening import parse_json, read_text, refused

Model = TypeVar("Model", bound=BaseModel)

SETTINGS_LIMIT = 2**20
"""Bytes above which a file is not one of settings."""


def read_mapping(path: str | Path) -> dict[str, Any]:
    """Read a YAML or JSON file that holds a mapping.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.yaml").write_text("n_runs: 3")
        ...     read_mapping(Path(folder) / "a.yaml")
        {'n_runs': 3}

    Raises:
        InputError: no such file, not YAML or JSON, or not a mapping.
    """
    path = Path(path)
    text = read_text(path, "a YAML or JSON file", limit=SETTINGS_LIMIT)
    with refused("not valid YAML or JSON", path, "a YAML or JSON file"):
        content = parse_json(text) if path.suffix == ".json" else parse_yaml(text)
    if not isinstance(content, dict):
        raise InputError(
            "must hold keys and values", file=path, found=type(content).__name__, allowed="a mapping"
        )
    return content


def validate(model: type[Model], content: Any, *, file: str | Path | None = None) -> Model:
    """Check a mapping against a configuration model.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> validate(MergeConfig, {"alpah": 2}, file="run.yaml")
        Traceback (most recent call last):
        spdclust.errors.InputError: run.yaml: alpah: unknown key (allowed: alpha)

    Raises:
        InputError: the first thing that is wrong, with the field, what was found and what is allowed.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _first_error(model, error, file) from error


def load_config(model: type[Model], path: str | Path) -> Model:
    """Read and check one configuration file.

    Example:
        >>> import tempfile
        >>> from spdclust.config.merge import MergeConfig
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "merge.yaml").write_text("alpha: 2")
        ...     load_config(MergeConfig, Path(folder) / "merge.yaml").alpha
        2.0

    Raises:
        InputError: the file cannot be read, or holds something that is not allowed.
    """
    return validate(model, read_mapping(path), file=path)


def _first_error(model: type[BaseModel], error: ValidationError, file: str | Path | None) -> InputError:
    # a misspelt key often makes others fail; it is the one to tell first
    errors = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    first = errors[0]
    location = [part for part in first["loc"] if not _is_union_tag(part)]
    name = ".".join(str(part) for part in location)
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        return InputError(
            "unknown key", file=file, field=name, allowed=close[0] if close else ", ".join(known)
        )
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return InputError(message, file=file, field=name or None)
    if first["type"] == "missing":
        return InputError("missing", file=file, field=name, allowed=_meaning(model, location))
    found = first["input"]
    return InputError(
        "not allowed",
        file=file,
        field=name,
        found=found if not isinstance(found, dict) else "a mapping",
        allowed=message.replace("Input should be ", ""),
    )


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and (part in ("str", "int", "float", "bool") or part.startswith("list["))


def _meaning(model: type[BaseModel], location: list[int | str]) -> str:
    """Return what a key is for, as its section describes it."""
    section = _section_at(model, location[:-1])
    field = section.model_fields.get(str(location[-1])) if section is not None else None
    said = " ".join((field.description or "").split()) if field is not None else ""
    return (said[:1].lower() + said[1:]).removesuffix(".") or "a value"


def _known_keys(model: type[BaseModel], location: list[int | str]) -> list[str]:
    section = _section_at(model, location)
    return [] if section is None else list(section.model_fields)


def _section_at(model: type[BaseModel], location: list[int | str]) -> type[BaseModel] | None:
    for part in location:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not nested:
            return None
        model = nested[0]
    return model
