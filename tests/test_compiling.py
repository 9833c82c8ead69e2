"""How kernels are compiled: one cache for exactly this code, one process at a time."""

import ast
import shutil
from pathlib import Path

import numpy as np
import pytest

from spdclust.core import compiling
from spdclust.partitions.distances import compute_distances
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.partitions.kernels.walk import walk_pair, walk_run
from spdclust.stability.coclustering import coclustering
from spdclust.stability.kernels import count_together

SOURCE = Path(compiling.__file__).parents[1]
KERNELS = ["merge/kernels/layout.py", "partitions/kernels/table.py", "stability/kernels.py"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that a test may edit, and the cache folder that it would use."""
    shutil.copytree(SOURCE, tmp_path / "spdclust", ignore=shutil.ignore_patterns("__pycache__", "models"))
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "spdclust/core/compiling.py"))
    monkeypatch.setenv("SPDCLUST_CACHE", str(tmp_path / "cache"))

    def folder():
        monkeypatch.setattr(compiling.numba_config, "CACHE_DIR", "")
        return compiling.use_own_cache()

    return tmp_path / "spdclust", folder


def test_an_edit_of_any_kernel_file_gives_a_cache_of_its_own(package):
    source, folder = package
    seen = [folder()]
    assert folder() == seen[0]
    for name in KERNELS:
        with (source / name).open("a") as file:
            file.write("\n# edited\n")
        seen.append(folder())
    with (source / "stability/summary.py").open("a") as file:
        file.write("\n# edited\n")
    assert folder() == seen[-1]
    assert len(set(seen)) == len(KERNELS) + 1
    assert all(each.is_dir() and "cache" in each.parts for each in seen)


def test_kernels_are_compiled_nowhere_but_here():
    found = [path for path in SOURCE.rglob("*.py") if "njit" in path.read_text()]
    assert [path.relative_to(SOURCE).as_posix() for path in found] == ["core/compiling.py"]


def test_kernels_depend_on_nothing_that_their_cache_is_not_keyed_by():
    keyed = {path.relative_to(SOURCE) for path in compiling._kernel_sources()}
    imported = {
        Path(*name.split(".")[1:]).with_suffix(".py")
        for path in keyed - {Path("core/compiling.py")}
        for node in ast.walk(ast.parse((SOURCE / path).read_text()))
        if isinstance(node, ast.ImportFrom) and (name := node.module or "").startswith("spdclust.")
    }
    assert len(imported) > 5
    assert imported <= keyed


def test_what_is_compiled_beforehand_is_what_is_used(make_run):
    normalized = normalize_ensemble([make_run(30, seed) for seed in range(3)])
    compute_distances(normalized, "perm_invariant_hamming", stride=2)
    coclustering(normalized.merge_array_rows(5))
    for kernel in (walk_pair, walk_run, count_together):
        assert len(kernel.signatures) == 1


def test_kernels_are_made_ready_once(monkeypatch):
    monkeypatch.setattr(compiling, "_ready", set())
    calls = []
    for _ in range(3):
        compiling.ensure_compiled("a", lambda: calls.append(1))
    assert calls == [1]


def test_what_failed_to_compile_is_tried_again(monkeypatch):
    monkeypatch.setattr(compiling, "_ready", set())
    with pytest.raises(ZeroDivisionError):
        compiling.ensure_compiled("a", lambda: 1 // 0)
    calls = []
    compiling.ensure_compiled("a", lambda: calls.append(1))
    assert calls == [1]


@pytest.fixture
def make_run():
    from spdclust.config.merge import MergeConfig
    from spdclust.merge.history import MergeHistory

    def make(n, seed):
        rng = np.random.default_rng(seed)
        pairs = np.array([rng.choice(n - t, 2, replace=False) for t in range(n - 3)])
        zeros = np.zeros(len(pairs))
        return MergeHistory([f"m:{i}" for i in range(n)], pairs, zeros, zeros, MergeConfig(iters=None))

    return make
