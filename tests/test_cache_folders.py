"""One root for all caches, chosen by the same variables for each."""

import os
import re
import tempfile
from pathlib import Path

import pytest

from spdclust.core import compiling
from spdclust.core.cache_folders import cache_folder, cache_root
from spdclust.models.wandb_paths import WandbRun
from spdclust.provenance.source_digests import SourceDigests


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
    assert compiling.use_own_cache().is_relative_to(tmp_path / root)
    assert len(list((tmp_path / root).glob("source-digests/*.json"))) == 1
    assert WandbRun("a", "b", "c").cache_folder.is_relative_to(tmp_path / root)


def test_a_root_that_cannot_be_written_is_replaced_by_the_temporary_folder(environment, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "temporary").mkdir()
    environment.setenv("SPDCLUST_CACHE", str(tmp_path / "file"))
    environment.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert cache_folder("a") == tmp_path / f"temporary/spdclust-{os.getuid()}/a"


def test_downloads_are_keyed_by_the_patterns_that_choose_files(monkeypatch):
    before = WandbRun("a", "b", "c").cache_folder
    monkeypatch.setattr("spdclust.models.wandb_paths.OF_TARGET", re.compile("other"))
    assert WandbRun("a", "b", "c").cache_folder != before


def test_tests_use_a_cache_of_their_own():
    repository = Path(__file__).resolve().parents[1]
    assert cache_root().is_relative_to(repository)
    assert Path(compiling.numba_config.CACHE_DIR).is_relative_to(repository)
