"""Files of W&B runs, downloaded once and atomically into the cache."""

import contextlib
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from spdclust.core.atomic import remove_orphans, temporary_for
from spdclust.core.cache_folders import one_process_at_a_time
from spdclust.core.errors import InputError
from spdclust.models.wandb_paths import ALLOWED, BESIDE_CHECKPOINT, CHECKPOINT, OF_TARGET, WandbRun

log = logging.getLogger(__name__)

CONFIG_NAME = "final_config.yaml"
_SECONDS = 30
_POLL_SECONDS = 0.2


def decomposition_folder(run: WandbRun) -> Path:
    """Return the folder with a decomposition run's configuration and last checkpoint, downloaded if needed.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> run = WandbRun("goodfire", "spd", "s-38e1a3e2")
        >>> with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, SPDCLUST_CACHE=cache):
        ...     run.cache_folder.mkdir(parents=True)  # downloaded before: no network is needed
        ...     decomposition_folder(run).relative_to(cache).parts[1:]
        ('goodfire', 'spd', 's-38e1a3e2')

    Raises:
        InputError: the run cannot be reached, or is not a decomposition run.
    """
    return _cached(run, _of_decomposition)


def target_folder(run: WandbRun) -> Path:
    """Return the folder with the configuration of a target model's run, downloaded if needed.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> run = WandbRun("goodfire", "train_resid_mlp", "1a2b3c4d")
        >>> with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, SPDCLUST_CACHE=cache):
        ...     run.cache_folder.mkdir(parents=True)  # downloaded before: no network is needed
        ...     target_folder(run).relative_to(cache).parts[1:]
        ('goodfire', 'train_resid_mlp', '1a2b3c4d')

    Raises:
        InputError: the run cannot be reached, or has no configuration.
    """
    return _cached(run, _of_target)


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
    wanted = [name for name in names if OF_TARGET.fullmatch(Path(name).name)]
    if not wanted:
        raise InputError(
            "not the run of a target model: its configuration is missing",
            file=f"wandb:{run.path}",
            found=list(names)[:8],
            allowed="a run with model_config.yaml, or <task>_train_config.yaml",
        )
    return wanted


def _cached(run: WandbRun, choose: Callable[[Sequence[str], WandbRun], list[str]]) -> Path:
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


def _download(run: WandbRun, choose: Callable[[Sequence[str], WandbRun], list[str]], folder: Path) -> None:
    import wandb

    files: dict[str, Any] = {each.name: each for each in wandb.Api(timeout=_SECONDS).run(run.path).files()}
    # all go into one folder: of two with one name, the one nearer to the top of the run comes last and stays
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
