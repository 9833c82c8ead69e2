"""What several test modules share."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import type_checks
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parents[1]
ORACLE = REPOSITORY.parent / "shared" / "oracle"

# how fast a machine is decides no test
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# before the package is imported
type_checks.install()


def pytest_configure() -> None:
    """Where compiling is switched off, let kernels do without what only machine code has.

    They then run as plain Python, and `coverage` sees their lines.
    """
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        from spdclust.merge.kernels import machine

        machine.smaller, machine.greater, machine.fetch = min, max, lambda array, place: None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Let every other worker read the files from last to first.

    Each then compiles half of the files in a new checkout, and finds the other half compiled.
    """
    report = yield
    if isinstance(collector, pytest.Session | pytest.Directory) and _worker() % 2:
        report.result.reverse()
    return report


def _worker() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first: a worker that gets one last works alone in the end.

    The very first runs the workflow, which a later file needs, too.
    """
    tests = Path(__file__).parent
    first = [tests / "workflow" / "test_workflow.py", tests / "workflow", tests / "tracking", tests]

    @functools.cache
    def place(path: Path) -> int:
        return next((n for n, each in enumerate(first) if path.is_relative_to(each)), len(first))

    items.sort(key=lambda item: (place(item.path), item.path, isinstance(item, pytest.DoctestItem)))


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    """Tests name the shipped checkpoint from the repository's folder, as its users do."""
    monkeypatch.chdir(REPOSITORY)


@pytest.fixture(scope="session")
def oracle():
    if not ORACLE.is_dir():
        pytest.skip("the oracle folder is not beside this repository")
    return ORACLE
