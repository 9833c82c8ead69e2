"""Resolve a run's `loader` to a function and a digest of its code, without importing it."""

import hashlib
import importlib.metadata
import re
import sys
from pathlib import Path

from spdclust.core.errors import InputError

ENTRY_POINTS = "spdclust.models"
"""Group in which packages register their loaders."""

REFERENCE = "spd"
"""The loader that uses the reference implementation's own package."""

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def function_of(loader: str) -> str:
    """Return `package.module:function` for a loader's name.

    Example:
        >>> function_of("my_models:load"), function_of("spd")
        ('my_models:load', 'spdclust.models.reference:load')

    Raises:
        InputError: the name neither has this form nor is registered by an installed package.
    """
    if loader == REFERENCE:
        return "spdclust.models.reference:load"
    if _FUNCTION.fullmatch(loader):
        return loader
    registered = {point.name: point.value for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    if loader not in registered:
        raise InputError(
            "no such loader",
            field="loader",
            found=loader,
            allowed=", ".join(["package.module:function", REFERENCE, *sorted(registered)]),
        )
    return registered[loader]


def loader_digest(loader: str | None) -> str:
    """Return a digest of the file of a loader's module, which identifies the version of its code.

    Example:
        >>> loader_digest(None), len(loader_digest("spdclust.models.component_model:load_model"))
        ('', 16)

    Raises:
        InputError: there is no such loader.
    """
    if loader is None:
        return ""
    file = _file_of(function_of(loader).partition(":")[0])
    return "" if file is None else hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def model_files(loader: str | None, path: str | None) -> list[str]:
    """Return the local files at a `model_path` that only its loader can read.

    Example:
        >>> model_files("my_models:load", "resources/resid_mlp1/final_config.yaml")
        ['resources/resid_mlp1/final_config.yaml']
        >>> model_files("my_models:load", "some-name"), model_files(None, "resources")
        ([], [])
    """
    location = None if path is None or loader is None else Path(path).expanduser()
    if location is None or not location.exists():
        return []
    return (
        [str(location)]
        if location.is_file()
        else sorted(str(each) for each in location.iterdir() if each.is_file())
    )


def _file_of(module: str) -> Path | None:
    parts = module.split(".")
    for folder in [str(Path.cwd()), *sys.path]:
        base = Path(folder).joinpath(*parts)
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file.is_file():
                return file
    return None
