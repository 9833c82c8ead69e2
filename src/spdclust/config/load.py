"""Read YAML or JSON configuration files to validated settings, with errors that name file and field."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from spdclust.config.yaml_text import parse_yaml
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, parse_json, read_text

Model = TypeVar("Model", bound=BaseModel)

SETTINGS_LIMIT = 2**20
"""Maximum size of a settings file in bytes."""


def read_mapping(path: str | Path) -> dict[str, Any]:
    """Read a YAML or JSON file that holds a mapping.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.yaml").write_text("n_runs: 3")
        ...     read_mapping(Path(folder) / "a.yaml")
        {'n_runs': 3}

    Raises:
        InputError: the file does not exist, or is not a mapping in YAML or JSON.
    """
    path = Path(path)
    text = read_text(path, "a YAML or JSON file", limit=SETTINGS_LIMIT)
    with as_input_error("not valid YAML or JSON", path, "a YAML or JSON file"):
        content = parse_json(text) if path.suffix == ".json" else parse_yaml(text)
    if not isinstance(content, dict):
        raise InputError("not a mapping", file=path, found=type(content).__name__, allowed="a mapping")
    return content


def validate(model: type[Model], content: Any, *, file: str | Path | None = None) -> Model:
    """Check a mapping against a configuration model.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> validate(MergeConfig, {"alpah": 2}, file="run.yaml")
        Traceback (most recent call last):
        spdclust.InputError: run.yaml: alpah: unknown key (allowed: alpha)

    Raises:
        InputError: the first error, with the field, the value found and the values allowed.
    """
    try:
        return model.model_validate(content)
    except InputError as error:
        raise error.located(file=file) from error.__cause__


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
        InputError: the file cannot be read, or contains invalid settings.
    """
    return validate(model, read_mapping(path), file=path)
