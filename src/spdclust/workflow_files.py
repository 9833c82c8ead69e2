"""Where the workflow's own files are: in the source checkout, or installed with the package."""

from importlib import metadata
from pathlib import Path

from spdclust.errors import InputError


def workflow_folder() -> Path:
    """Return the folder of the `Snakefile`, `rules/` and `profiles/` that belong to this package.

    Example:
        >>> (workflow_folder() / "rules/merges.smk").is_file()
        True

    Raises:
        InputError: the package was installed without them.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "Snakefile").is_file() and (checkout / "rules").is_dir():
        return checkout
    for file in metadata.files("spdclust") or []:
        if file.parts[-2:] == ("workflow", "Snakefile") and file.locate().is_file():
            return Path(str(file.locate())).resolve().parent
    raise InputError(
        "no workflow here",
        file=checkout,
        allowed="the package installed by pip from a wheel or a checkout of the repository",
    )
