"""One root for all caches, chosen by the same variables for each."""

import errno
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from spdclust.core import compiling
from spdclust.core.atomic import cache_folder, cache_root, one_process_at_a_time, remove_unused
from spdclust.core.source_digests import SourceDigests
from spdclust.models.wandb_files import WandbRun


@pytest.fixture
def environment(monkeypatch, tmp_path):
    for name in ("SPDCLUST_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "root"),
    [
        ({}, "home/.cache/spdclust"),
        ({"XDG_CACHE_HOME": "{}/xdg"}, "xdg/spdclust"),
        ({"XDG_CACHE_HOME": "{}/xdg", "SPDCLUST_CACHE": "{}/own"}, "own"),
        ({"XDG_CACHE_HOME": "relative"}, "home/.cache/spdclust"),
        ({"XDG_CACHE_HOME": "", "SPDCLUST_CACHE": ""}, "home/.cache/spdclust"),
        ({"SPDCLUST_CACHE": "~/own"}, "home/own"),
    ],
)
def test_kernels_digests_and_downloads_obey_the_same_variables(environment, tmp_path, variables, root):
    for name, value in variables.items():
        environment.setenv(name, value.format(tmp_path))
    environment.setattr(compiling.numba_config, "CACHE_DIR", "")
    digests = SourceDigests()
    digests.of(Path(__file__))
    digests.keep()
    assert cache_root() == tmp_path / root
    assert compiling._kernel_cache() == tmp_path / root / "kernels"
    assert len(list((tmp_path / root).glob("source-digests/*.json"))) == 1
    assert WandbRun("a", "b", "c").cache_folder.is_relative_to(tmp_path / root)


def test_a_root_that_cannot_be_written_is_replaced_by_the_temporary_folder(environment, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "temporary").mkdir()
    environment.setenv("SPDCLUST_CACHE", str(tmp_path / "file"))
    environment.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    folder = tmp_path / f"temporary/spdclust-{os.getuid()}"
    assert cache_folder("a") == folder / "a"
    # not where another user could exchange what is in it: compiled code would be executed
    folder.chmod(0o777)
    assert cache_folder("a") is None
    folder.chmod(0o700)
    assert cache_folder("a") == folder / "a"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert cache_folder("a") is None


def test_downloads_are_keyed_by_the_patterns_that_choose_files(monkeypatch):
    before = WandbRun("a", "b", "c").cache_folder
    monkeypatch.setattr("spdclust.models.wandb_files.OF_TARGET", re.compile("other"))
    assert WandbRun("a", "b", "c").cache_folder != before


def test_tests_use_a_cache_of_their_own():
    repository = Path(__file__).resolve().parents[2]
    assert cache_root().is_relative_to(repository)
    assert compiling._module_cache("spdclust.partitions.kernels.table").is_relative_to(repository)


OLD = "merge.kernels.loop-numba0.68.1-py3.11.7-0123456789abcdef"


def test_only_folders_of_compiled_kernels_that_nobody_uses_are_removed(tmp_path):
    kept = {
        "lock": "file",
        "mine": "folder",
        "stability.kernels-numba0.68.1-py3.11.7-0123456789abcdef": "used",
        "groups.kernels.nodes-numba0.68.1-py3.11.7-0123456789abcdef": "link",
        "wandb-01234567": "folder",
        f"{OLD}0": "folder",
    }
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    root = tmp_path / "kernels"
    root.mkdir()
    for name, kind in {**kept, OLD: "folder"}.items():
        if kind == "link":
            (root / name).symlink_to(elsewhere)
        elif kind == "file":
            (root / name).touch()
        else:
            (root / name).mkdir()
            (root / name / "a.nbc").touch()
        if kind != "used":
            os.utime(root / name, (0, 0), follow_symlinks=False)
    assert remove_unused(root) == [OLD]
    assert {path.name for path in root.iterdir()} == set(kept)
    assert elsewhere.is_dir()


def test_the_name_of_a_folder_of_kernels_is_one_that_is_removed_when_nobody_uses_it(tmp_path, environment):
    environment.setenv("SPDCLUST_CACHE", str(tmp_path))
    environment.setattr(compiling.numba_config, "CACHE_DIR", "")
    folder = compiling._module_cache.__wrapped__("spdclust.merge.kernels.loop")
    assert remove_unused(tmp_path / "kernels") == []
    os.utime(folder, (0, 0))
    assert compiling._module_cache.__wrapped__("spdclust.merge.kernels.loop") == folder
    assert remove_unused(tmp_path / "kernels") == []  # loaded again: in use
    os.utime(folder, (0, 0))
    assert remove_unused(tmp_path / "kernels") == [folder.name]


TRY = (
    "import fcntl, sys\n"
    "handle = open(sys.argv[1])\n"
    "try:\n    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    "except OSError:\n    sys.exit(3)\n"
)


def test_one_process_at_a_time(tmp_path):
    lock = tmp_path / "lock"
    with one_process_at_a_time(lock):
        assert subprocess.run([sys.executable, "-c", TRY, lock], check=False).returncode == 3
    assert subprocess.run([sys.executable, "-c", TRY, lock], check=False).returncode == 0


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_lets_all_go_on_and_leaves_no_lock_behind(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with one_process_at_a_time(tmp_path / "lock"), one_process_at_a_time(tmp_path / "lock"):
        pass
    monkeypatch.undo()
    lock = tmp_path / "lock"
    lock.touch()
    assert subprocess.run([sys.executable, "-c", TRY, lock], check=False).returncode == 0
