"""The workflow's files: where they are, how to install them elsewhere, which names their paths may have."""

import json
import re
from collections.abc import Iterable
from importlib import metadata
from itertools import groupby
from pathlib import Path

from spdclust.core.errors import InputError


def workflow_folder() -> Path:
    """Return the folder of the `Snakefile`, `rules/` and `profiles/` that belong to this package.

    Example:
        >>> (workflow_folder() / "rules/merges.smk").is_file()
        True

    Raises:
        InputError: the package was installed without them.
    """
    checkout = _checkout()
    if checkout is not None:
        return checkout
    for file in metadata.files("spdclust") or []:
        snakefile = Path(str(file.locate()))
        if file.parts[-2:] == ("workflow", "Snakefile") and snakefile.is_file():
            return snakefile.resolve().parent
    raise InputError(
        "no workflow here",
        file=Path(__file__).resolve().parents[3],
        allowed="the package installed by pip from a wheel or a checkout of the repository",
    )


def package_requirement() -> str:
    """Return the argument of `pip install` that installs this package, with all job dependencies, elsewhere.

    Example:
        >>> package_requirement() == f"{workflow_folder()}[lm]"
        True

    Returns:
        The checkout, the file or address that it was installed from, or its version.
    """
    checkout = _checkout()
    if checkout is not None:
        return f"{checkout}[lm]"
    package = metadata.distribution("spdclust")
    # pip records its argument here, unless it was a package name
    origin = package.read_text("direct_url.json")
    return f"spdclust[lm] @ {json.loads(origin)['url']}" if origin else f"spdclust[lm]=={package.version}"


def _checkout() -> Path | None:
    folder = Path(__file__).resolve().parents[3]
    return folder if (folder / "Snakefile").is_file() and (folder / "rules").is_dir() else None


def one_of(names: Iterable[str]) -> str:
    """Return a regular expression that matches each of the names and nothing else.

    Common prefixes are factored out. Snakemake scans the constraints of a path each time it fills in the
    wildcards, which took three times as long with a plain alternation of the 100 names of a sweep.

    Example:
        >>> one_of(["demo-alpha~1", "demo-alpha~2.5", "other"])
        '(?:demo\\\\-alpha\\\\~(?:1|2\\\\.5)|other)'
        >>> one_of([])  # nothing matches
        '(?!)'
    """
    ordered = sorted(set(names))
    return _one_of(ordered) if ordered else "(?!)"


def _one_of(names: list[str]) -> str:
    if len(names) == 1:
        return re.escape(names[0])
    # sorted: a prefix shared by the first and the last is shared by all
    shared = _shared(names[0], names[-1])
    branches = [
        _one_of(list(group))
        for _, group in groupby((name[shared:] for name in names), key=lambda rest: rest[:1])
    ]
    return f"{re.escape(names[0][:shared])}(?:{'|'.join(branches)})"


def _shared(first: str, last: str) -> int:
    length = min(len(first), len(last))
    return next((n for n in range(length) if first[n] != last[n]), length)
