"""Parse references to W&B runs, `wandb:entity/project/run_id` and other forms, without network access."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from spdclust.core.cache_folders import cache_root
from spdclust.core.errors import InputError

_PREFIX = "wandb:"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_URL = re.compile(rf"https?://[^/]+/({_NAME})/({_NAME})/runs/({_NAME})(?:[/?#].*)?")
_EXPLICIT = re.compile(rf"({_NAME})/({_NAME})/(?:runs/)?({_NAME})")
# without the prefix, accept only forms unlikely to be a folder: W&B ids, or ids after /runs/
_BARE = re.compile(rf"({_NAME})/({_NAME})/(?:runs/({_NAME})|([a-z0-9]{{8}}|[a-z]{{1,3}}-[a-z0-9]{{8}}))")

CHECKPOINT = re.compile(r"model_(?:.*_)?(\d+)\.pth")
"""The file name of a checkpoint, with its step."""
BESIDE_CHECKPOINT = re.compile(
    r"(final_config|model_config|\w+_train_config)\.yaml|label_coeffs\.json|[a-z_]+\.pth"
)
"""Other files to download from a decomposition run."""
OF_TARGET = re.compile(r"(final_config|model_config|\w+_train_config)\.yaml|label_coeffs\.json")
"""Files to download from a target model's run."""

ALLOWED = "wandb:entity/project/run_id, with or without /runs/ before the id"


@dataclass(frozen=True)
class WandbRun:
    """One run on W&B.

    Example:
        >>> parse_wandb_path("wandb:goodfire/spd/runs/s-38e1a3e2")
        WandbRun(entity='goodfire', project='spd', run_id='s-38e1a3e2')
    """

    entity: str
    project: str
    run_id: str

    @property
    def path(self) -> str:
        """`entity/project/run_id`, the form used by the W&B API."""
        return f"{self.entity}/{self.project}/{self.run_id}"

    @property
    def cache_folder(self) -> Path:
        """Cache folder of the downloaded files.

        Keyed by the file patterns, so that a version that needs other files downloads again.
        """
        patterns = "\n".join(each.pattern for each in (CHECKPOINT, BESIDE_CHECKPOINT, OF_TARGET))
        key = hashlib.sha256(patterns.encode()).hexdigest()[:8]
        return cache_root() / f"wandb-{key}" / self.entity / self.project / self.run_id


def parse_wandb_path(path: str | Path) -> WandbRun | None:
    """Return the W&B run that a path refers to, or None for a local path.

    Example:
        >>> [parse_wandb_path(f"{prefix}a/b/{runs}1a2b3c4d") is None for prefix in ("", "wandb:")
        ...  for runs in ("", "runs/")]
        [False, False, False, False]
        >>> parse_wandb_path("resources/models/resid_mlp1"), parse_wandb_path("a/b/s-1a2b3c4d").run_id
        (None, 's-1a2b3c4d')

    Raises:
        InputError: the path starts with `wandb:` and has none of the valid forms.
    """
    text = str(path).strip()
    explicit = text.startswith(_PREFIX)
    text = text.removeprefix(_PREFIX).strip("/ ") if explicit else text
    if match := _URL.fullmatch(text):
        return WandbRun(*match.groups())
    if explicit:
        match = _EXPLICIT.fullmatch(text)
        if match is None:
            raise InputError("not a W&B run", field="model_path", found=str(path), allowed=ALLOWED)
        return WandbRun(*match.groups())
    match = _BARE.fullmatch(text)
    if match is None or Path(text).expanduser().exists():
        return None
    return WandbRun(match[1], match[2], match[3] or match[4])
