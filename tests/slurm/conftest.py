"""One Slurm for all tests of this folder, also where several processes run them: most of their time is waiting."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from slurm_cluster import FOLDER, NEEDED
from workflow import HANGS

SCRIPT = Path(__file__).parent / "single_node.sh"


def _is_wanted(config: pytest.Config) -> bool:
    asked = re.search(r"(?<!not )\bslurm\b", config.option.markexpr) is not None
    return asked and not hasattr(config, "workerinput")


def pytest_sessionstart(session: pytest.Session) -> None:
    if not _is_wanted(session.config):
        return
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.exit(
            f"a Slurm of its own needs root and {', '.join(missing) or 'no more'}; `make test-slurm` says how",
            1,
        )
    subprocess.run(["bash", SCRIPT, "stop", FOLDER], check=True, timeout=HANGS)
    shutil.rmtree(FOLDER, ignore_errors=True)
    subprocess.run(["bash", SCRIPT, "start", FOLDER], check=True, timeout=HANGS)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _is_wanted(session.config):
        subprocess.run(["bash", SCRIPT, "stop", FOLDER], check=True, timeout=HANGS)
