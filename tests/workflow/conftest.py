"""What the tests of the workflow share: one whole run of it."""

import fcntl
import json
import os

import pytest
from workflow import Outcome, Workflow


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A workflow that has run to its end, for tests that only look or that take a copy, and what it printed.

    The first process of a test run that needs it runs it, from the command line as users do; each has its own copy.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    workflow, record = Workflow(shared / "finished" / "w", forked=False), shared / "finished.json"
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            outcome = Workflow.create(workflow.folder, forked=False).run()
            record.write_text(json.dumps([outcome.code, outcome.output]))
    outcome = Outcome(*json.loads(record.read_text()))
    assert outcome.code == 0, outcome.output
    copied = workflow.copy(tmp_path_factory.mktemp("finished") / "w")
    copied.forked = True
    return copied, outcome


@pytest.fixture
def copied(finished, tmp_path):
    return finished[0].copy(tmp_path / "w")
