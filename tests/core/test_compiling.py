"""How kernels are compiled: one cache for exactly this code, one process at a time."""

import ast
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from forked_python import python

from spdclust.core import compiling
from spdclust.partitions.distances import compute_distances
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.partitions.kernels.table import count_together
from spdclust.partitions.kernels.walk import walk_pair, walk_run
from spdclust.stability.coclustering import coclustering

SOURCE = Path(compiling.__file__).parents[1]
CALLED = """
from spdclust.core.compiling import compiled
@compiled
def plus(x):
    return x + 1
"""
CALLING = """
from spdclust.core.compiling import compiled
from spdclust.trial.called import plus
@compiled
def twice(x):
    return 2 * plus(x)
"""
ALONE = """
from spdclust.core.compiling import compiled
@compiled
def half(x):
    return x / 2
"""
REPORT = """
import json, numba
from spdclust.trial import alone, called, calling
results = {"twice": calling.twice(3), "plus": called.plus(3), "half": alone.half(3)}
kernels = {"twice": calling.twice, "plus": called.plus, "half": alone.half}
reused = sorted(name for name, each in kernels.items() if each.stats.cache_hits)
print(json.dumps([results, reused, numba.config.CACHE_DIR]))
"""


@pytest.fixture
def trial(tmp_path):
    """A copy of the package with three files of kernels that a test may edit, and what a process finds."""
    package = tmp_path / "spdclust"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__", "models"))
    (package / "trial").mkdir()
    for name, code in {"__init__": "", "called": CALLED, "calling": CALLING, "alone": ALONE}.items():
        (package / "trial" / f"{name}.py").write_text(code)

    def report(**variables):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "SPDCLUST_CACHE": str(tmp_path / "cache")}
        environment["PYTHONDONTWRITEBYTECODE"] = (
            "1"  # an edit of the same second and size would not be noticed
        )
        done = python("-c", REPORT, env=environment | variables)
        done.check_returncode()
        return json.loads(done.stdout)

    return package / "trial", report


def test_an_edit_recompiles_the_kernels_of_its_file_and_of_those_that_import_it(trial):
    folder, report = trial
    first = {"twice": 8, "plus": 4, "half": 1.5}
    assert report() == [first, [], ""]
    assert report() == [first, ["half", "plus", "twice"], ""]
    (folder / "called.py").write_text(CALLED.replace("x + 1", "x + 2"))
    assert report() == [{"twice": 10, "plus": 5, "half": 1.5}, ["half"], ""]
    (folder / "called.py").write_text(CALLED)
    assert report() == [first, ["half", "plus", "twice"], ""]
    (folder / "called.py").write_text(CALLED.replace("x + 1", "x + 1  # one more"))
    assert set(report()[1]) >= {"half", "twice"}
    (folder / "alone.py").write_text(ALONE.replace("x / 2", "x / 4"))
    results, reused, _ = report()
    assert results["half"] == 0.75
    assert reused == ["plus", "twice"]


def test_the_cache_of_numba_itself_is_kept_apart_and_its_variable_obeyed(trial, tmp_path):
    _, report = trial
    theirs = str(tmp_path / "theirs")
    assert report(NUMBA_CACHE_DIR=theirs)[1:] == [[], theirs]
    assert report(NUMBA_CACHE_DIR=theirs)[1] == ["half", "plus", "twice"]
    assert [each.name for each in Path(theirs).iterdir()] == ["spdclust-kernels"]
    assert not (tmp_path / "cache" / "kernels").exists()


def test_kernels_are_compiled_nowhere_but_here():
    found = [path for path in SOURCE.rglob("*.py") if "njit" in path.read_text()]
    assert [path.relative_to(SOURCE).as_posix() for path in found] == ["core/compiling.py"]


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


COUNTED = """
import gc, json
from numba.core import event
from numba.core.dispatcher import Dispatcher
names = []
class Names(event.Listener):
    def on_start(self, found): names.append(found.data["dispatcher"].py_func.__module__)
    def on_end(self, found): pass
event.register("numba:compile", Names())
{calls}
again = [
    str(each.py_func.__qualname__) for each in gc.get_objects()
    if isinstance(each, Dispatcher) and each.py_func.__module__.startswith("spdclust.")
    and len({{tuple(map(unliteral, one)) for one in each.signatures}}) < len(each.signatures)
]
print(json.dumps([names, again]))
"""
MERGES = """
from numba.core.types import unliteral
from spdclust.config.merge import MergeConfig
from spdclust.merge.stepping import warm_up
for law in ("range", "mcmc", "exp_rank"):
    warm_up(MergeConfig(merge_pair_sampling_method=law), 100)
"""
GROUPS = """
import numpy as np
from numba.core.types import unliteral
from spdclust import MergeConfig, ProcessedActivations, find_groups, merge_iteration
rng = np.random.default_rng(0)
labels = [f"m:{i}" for i in range(8)]
runs = [ProcessedActivations.from_dense((rng.random((60, 8)) < 0.3).astype(np.float32), labels) for _ in (0, 1)]
find_groups([merge_iteration(run, MergeConfig(iters=None), 0) for run in runs], runs)
"""


def test_a_process_that_waits_for_kernels_does_its_other_work_once(monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "_ready", set())
    monkeypatch.setattr(compiling, "_kernel_cache", lambda: tmp_path)
    monkeypatch.setattr(compiling, "_PATIENCE", 0.01)
    other = FileLock(tmp_path / "a.lock")
    other.acquire()
    done = []

    def meanwhile():
        compiling.ensure_compiled("b, first", lambda: done.append("b"))
        other.release()

    compiling.while_waiting(meanwhile)
    compiling.ensure_compiled("a, first", lambda: done.append("a"))
    compiling.ensure_compiled("a, second", lambda: done.append("a"))
    assert done == ["b", "a", "a"]


def test_a_process_that_need_not_wait_does_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "_ready", set())
    monkeypatch.setattr(compiling, "_kernel_cache", lambda: tmp_path)
    done = []
    monkeypatch.setattr(compiling, "_while_waiting", [lambda: done.append("b")])
    compiling.ensure_compiled("a, first", lambda: done.append("a"))
    assert done == ["a"]


def kernels_and_calls():
    """The kernels of the package by how they are compiled, and the names that other code uses."""
    kernels, used = {"compiled": set(), "inner": set()}, set()
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        inside = set()
        for each in tree.body:
            decorators = re.findall(
                r"^(compiled|inner)\b", "\n".join(map(ast.unparse, _decorators(each))), re.M
            )
            for decorator in decorators:
                kernels[decorator].add(each.name)
                inside.update(map(id, ast.walk(each)))
        others = [each for each in ast.walk(tree) if id(each) not in inside]
        used |= {each.id for each in others if isinstance(each, ast.Name)}
        used |= {each.attr for each in others if isinstance(each, ast.Attribute)}
    return kernels, used


def _decorators(statement):
    return statement.decorator_list if isinstance(statement, ast.FunctionDef) else []


def test_kernels_that_python_calls_have_an_entry_and_the_others_none():
    kernels, used = kernels_and_calls()
    assert min(map(len, kernels.values())) > 20
    assert not kernels["inner"] & used, "these are compiled once more in every process"
    assert kernels["compiled"] <= used, "an entry from Python takes long to compile"


@pytest.mark.slow  # compiles everything: 25 s of CPU each
@pytest.mark.parametrize("calls", [MERGES, GROUPS], ids=["merges", "groups"])
def test_kernels_compile_no_texts_and_nothing_twice_for_a_literal(tmp_path, calls):
    env = os.environ | {"SPDCLUST_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COUNTED.format(calls=calls)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    compiled_in, again = json.loads(done.stdout)
    assert {"spdclust.merge.kernels.joining"} <= set(compiled_in)
    assert "numba.cpython.unicode" not in compiled_in
    assert again == []


def test_compiling_and_waiting_are_reported(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(compiling, "_ready", set())
    monkeypatch.setattr(compiling, "_kernel_cache", lambda: tmp_path)
    monkeypatch.setattr(compiling, "_while_waiting", [])
    monkeypatch.setattr(compiling, "_PATIENCE", 0.01)
    caplog.set_level("INFO")

    @compiling.compiled
    def double(x):
        return x + x

    compiling.ensure_compiled("a, first", lambda: (double(2), double(2.0)))
    assert caplog.messages == [f"compiling kernels (a); cached in {tmp_path}"]
    other = (tmp_path / "b.lock").open("w")
    fcntl.flock(other, fcntl.LOCK_EX)
    threading.Timer(0.2, other.close).start()
    compiling.ensure_compiled("b, first", lambda: None)
    assert caplog.messages[1:] == ["waiting for another process that compiles kernels (b)"]


def test_kernels_from_the_cache_are_not_reported(tmp_path):
    code = (
        "import logging; logging.basicConfig(level=logging.INFO, format='%(message)s')\n"
        "from spdclust.explorer.cofiring import warm_up; warm_up()"
    )
    env = os.environ | {"SPDCLUST_CACHE": str(tmp_path)}
    first, second = (python("-c", code, env=env).stderr.splitlines() for _ in range(2))
    assert [line for line in first if "compiling" in line] == [
        f"compiling kernels (explorer); cached in {tmp_path / 'kernels'}"
    ]
    assert second == []
