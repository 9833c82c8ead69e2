"""What a job leaves in its log, and how it ends."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from spdclust.execution import jobs
from spdclust.execution.jobs import failed_for_good


def test_an_interrupted_job_leaves_one_line_and_may_be_tried_again(tmp_path):
    code = (
        "import os, signal; from spdclust.execution.jobs import job\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with job('merge.log', 'merge'): os.kill(os.getpid(), signal.SIGINT); signal.pause()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ, capture_output=True, text=True
    )
    assert ended.returncode == 128 + signal.SIGINT
    assert ended.stdout + ended.stderr == ""
    first, last = (tmp_path / "merge.log").read_text().splitlines()
    assert first.endswith(f"Python {sys.version.split()[0]}")
    assert last.endswith("INFO interrupted")
    assert not failed_for_good(tmp_path / "merge.log")


def test_python_looks_for_no_unused_objects_when_a_job_has_ended(tmp_path):
    code = (
        "import atexit, gc; from spdclust.execution.jobs import job\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 100 * len(gc.get_objects())))\n"
        "with job('merge.log', 'merge'): pass\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ, check=True)
    assert (tmp_path / "merge.log").read_text().splitlines()[-1] == "True"


def test_a_change_of_what_surrounds_a_stage_re_runs_no_rule(tmp_path):
    shutil.copytree(Path(jobs.__file__).parents[1], tmp_path / "spdclust")
    file = tmp_path / "spdclust/execution/jobs.py"
    code = (
        "from spdclust.core.code_fingerprint import code_fingerprint\n"
        "print(code_fingerprint('spdclust.execution.jobs:call_stage'))\n"
    )

    def fingerprint() -> str:
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        ).stdout

    before, text = fingerprint(), file.read_text()
    for line, same in (("    log_path = Path(log_path)\n", True), ("    function = _find_stage(", False)):
        assert text.count(line) == 1
        file.write_text(text.replace(line, f"    print('changed')\n{line}"))
        assert (fingerprint() == before) is same
