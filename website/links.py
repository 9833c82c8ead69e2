"""Links of the repository's pages, changed to where their targets are on the site."""

import os
import re
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "config/README.md": "settings.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the repository that are not in `docs/`: the names that they have on the site."""

LINK = re.compile(r"(\]\()([^)#\s]+)")
COPIED = "repository/"


def relinked(text: str, source: str) -> tuple[str, set[str]]:
    """Return the text of a page with the links of the site, and the files of the repository to copy for them.

    Args:
        text: the page as it is in the repository.
        source: its path there.
    """
    folder, copied = PurePosixPath(site_path(source)).parent, set()

    def moved(link: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath(source).parent / link[2])
        if not (ROOT / target).is_file():
            return link[0]  # an address, or broken: MkDocs reports it
        if site_path(target).startswith(COPIED):
            copied.add(target)
        return link[1] + os.path.relpath(site_path(target), folder)

    return LINK.sub(moved, text), copied


def site_path(path: str) -> str:
    """Return where a file of the repository is on the site."""
    if path.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/"))
    return OUTSIDE.get(path, COPIED + path)
