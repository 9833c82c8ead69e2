"""A small disk in memory that a test can fill, or make read-only; needs root."""

import contextlib
import ctypes
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_CLONE_NEWNS = 0x00020000
PAGE = 4096
"""Bytes that such a disk gives out at once."""


@dataclass
class SmallDisk:
    """A mounted tmpfs."""

    folder: Path

    @property
    def free_pages(self) -> int:
        return os.statvfs(self.folder).f_bavail

    def clear(self) -> None:
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @contextlib.contextmanager
    def filled(self, pages_left: int) -> Iterator[None]:
        """Take all room but so many pages."""
        filler = self.folder / "filler"
        taken = self.free_pages - pages_left
        with filler.open("wb") as stream:
            if taken > 0:
                os.posix_fallocate(stream.fileno(), 0, taken * PAGE)
        try:
            yield
        finally:
            filler.unlink()

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        _run("mount", "-o", "remount,ro", self.folder)
        try:
            yield
        finally:
            _run("mount", "-o", "remount,rw", self.folder)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


@functools.cache
def _own_mounts() -> None:
    """Let what this process mounts end with it, however it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) == 0:
        _run("mount", "--make-rprivate", "/")


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount one, for this process and its children; skips the test where that is not allowed."""
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        _own_mounts()
        _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        pytest.skip(f"a small disk cannot be mounted here: {said.decode().strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        _run("umount", "-l", folder)
