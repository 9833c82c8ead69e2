"""What a job leaves in its log, and how it ends."""

import os
import signal
import subprocess
import sys

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
