import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spdclust.core.atomic import atomic_path, write_text
from spdclust.core.errors import InputError


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_killed_writer_leaves_no_final_name_and_the_next_one_cleans_up(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from spdclust.core.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.txt")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "a.txt").exists()
    assert len(os.listdir(tmp_path)) == 1
    write_text(tmp_path / "a.txt", "whole")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    def limit_file_size():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    code = (
        "import sys\n"
        "from spdclust.core.errors import InputError\n"
        "from spdclust.core.atomic import write_text\n"
        "try:\n"
        "    write_text(sys.argv[1], 'x' * 5000)\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.txt")],
        check=True, capture_output=True, text=True, preexec_fn=limit_file_size,
    )  # fmt: skip
    assert "a.txt: cannot write" in done.stdout
    assert done.stdout.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/a\.txt: cannot write"):
        write_text(tmp_path / "file" / "a.txt", "")


def test_what_was_written_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(os, "fsync", lambda handle: events.append(("synced", os.fstat(handle).st_size)))
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda a, b: (events.append(("named", a.stat().st_size)), replace(a, b))[1]
    )
    write_text(tmp_path / "a.txt", "whole")
    assert events == [("synced", 5), ("named", 5)]
