"""What the tests of faults share: one undisturbed run of a small sweep, and the table that is printed at the end."""

import os
import tempfile

import pytest
from faults.recorded import Recorded, record
from faults.tally import TALLY, VARIABLE


@pytest.fixture(scope="session")
def recorded(tmp_path_factory) -> Recorded:
    return record(tmp_path_factory.mktemp("recorded") / "w")


def pytest_configure(config) -> None:
    if not hasattr(config, "workerinput"):  # workers add to the file of the process that started them
        handle, os.environ[VARIABLE] = tempfile.mkstemp(prefix="spdclust-faults-")
        os.close(handle)


def pytest_terminal_summary(terminalreporter) -> None:
    if VARIABLE not in os.environ or hasattr(terminalreporter.config, "workerinput"):
        return
    for line in TALLY.lines():
        terminalreporter.write_line(line)
    os.unlink(os.environ.pop(VARIABLE))
