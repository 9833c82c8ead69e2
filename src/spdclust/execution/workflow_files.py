"""Location of the workflow's files, in the checkout or installed, and how to install it elsewhere."""

import json
from importlib import metadata
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
