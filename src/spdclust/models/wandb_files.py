"""Files of W&B runs: `wandb:entity/project/run_id` and other forms, downloaded once into the cache.

References are parsed without network access.
"""

import contextlib
import hashlib
import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spdclust.core.atomic import cache_root, one_process_at_a_time, remove_orphans, temporary_for
from spdclust.core.errors import InputError

log = logging.getLogger(__name__)

CONFIG_NAME = "final_config.yaml"
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
    """One run on W&B."""

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


_SECONDS = 30
_POLL_SECONDS = 0.2


def run_folder(run: WandbRun, *, of_target: bool = False) -> Path:
    """Return the folder with the files of a decomposition run, or of a target model's, downloaded if needed.

    These are its configuration and, of a decomposition run, its last checkpoint.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> run = WandbRun("goodfire", "spd", "s-38e1a3e2")
        >>> with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, SPDCLUST_CACHE=cache):
        ...     run.cache_folder.mkdir(parents=True)  # downloaded before: no network is needed
        ...     run_folder(run).relative_to(cache).parts[1:]
        ('goodfire', 'spd', 's-38e1a3e2')

    Raises:
        InputError: the run cannot be reached, or is not such a run.
    """
    choose = _of_target if of_target else _of_decomposition
    folder = run.cache_folder
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "cannot write", file=folder.parent, found=error.strerror, allowed="a folder for SPDCLUST_CACHE"
        ) from error
    with one_process_at_a_time(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():  # another job was quicker
            return folder
        remove_orphans(folder)
        temporary = temporary_for(folder)
        try:
            temporary.mkdir(parents=True)
            _download(run, choose, temporary)
            temporary.rename(folder)
        except InputError:
            raise
        except Exception as error:  # the library raises almost any exception
            raise InputError(
                "cannot be downloaded",
                file=f"wandb:{run.path}",
                field="model_path",
                found=f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}",
                allowed=f"{ALLOWED}, a run that exists and that `wandb login` gives access to",
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _of_decomposition(names: Sequence[str], run: WandbRun) -> list[str]:
    steps = {int(match[1]): name for name in names if (match := CHECKPOINT.fullmatch(name))}
    if CONFIG_NAME not in names or not steps:
        raise InputError(
            "not a decomposition run: files are missing",
            file=f"wandb:{run.path}",
            field=CONFIG_NAME if CONFIG_NAME not in names else "model_<step>.pth",
            found=list(names)[:8],
            allowed=f"a run with {CONFIG_NAME} and model_<step>.pth",
        )
    last = steps[max(steps)]
    if len(steps) > 1:
        log.warning("wandb:%s holds %d checkpoints; taking the last, %s", run.path, len(steps), last)
    small = [name for name in names if BESIDE_CHECKPOINT.fullmatch(name) and not CHECKPOINT.fullmatch(name)]
    return [*small, last]


def _of_target(names: Sequence[str], run: WandbRun) -> list[str]:
    target_files = [name for name in names if OF_TARGET.fullmatch(Path(name).name)]
    if not target_files:
        raise InputError(
            "not the run of a target model: its configuration is missing",
            file=f"wandb:{run.path}",
            found=list(names)[:8],
            allowed="a run with model_config.yaml, or <task>_train_config.yaml",
        )
    return target_files


def _download(run: WandbRun, choose: Callable[[Sequence[str], WandbRun], list[str]], folder: Path) -> None:
    import wandb
    from tqdm import tqdm

    files: dict[str, Any] = {each.name: each for each in wandb.Api(timeout=_SECONDS).run(run.path).files()}
    # all go into one folder; of two with the same name, the one higher up in the run comes last and is kept
    names = sorted(choose(sorted(files), run), key=lambda name: -name.count("/"))
    chosen = [files[name] for name in names]
    log.info("downloading wandb:%s to %s", run.path, run.cache_folder)
    total = sum(int(each.size) for each in chosen)
    with (
        tqdm(total=total, desc=run.run_id, unit="B", unit_scale=True, disable=None) as bar,
        _watched(folder, bar),
    ):
        for each in chosen:
            # flat, whatever the folder in the run
            with contextlib.closing(each.download(root=str(folder), replace=True)) as written:
                path = Path(written.name)
            # a connection that ends early leaves a shorter file without an error
            if path.stat().st_size != int(each.size):
                raise OSError(f"{each.name}: {path.stat().st_size} of {each.size} bytes arrived")
            if path.parent != folder:
                path.rename(folder / path.name)


@contextlib.contextmanager
def _watched(folder: Path, bar: Any) -> Iterator[None]:
    """Update a progress bar as files in a folder grow."""
    done = threading.Event()

    def size() -> int:
        total = 0
        for file in folder.rglob("*"):
            with contextlib.suppress(OSError):  # the file is being renamed
                total += file.stat().st_size if file.is_file() else 0
        return total

    def watch() -> None:
        while not done.wait(_POLL_SECONDS):
            bar.update(max(0, size() - bar.n))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        bar.update(max(0, size() - bar.n))
