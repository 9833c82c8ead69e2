"""Jobs that are copies of a server run as new interpreters do."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from snakemake.benchmark import BenchmarkRecord
from snakemake.script import PythonScript

from spdclust.execution import forked_jobs
from spdclust.execution.forked_jobs import FEWEST_JOBS, JobServer, fork_local_jobs, modules_of_jobs
from spdclust.execution.jobs import FIGURE_VARIABLES

WHAT_A_SCRIPT_SEES = """
import json, os, signal, sys, tempfile, threading
file = os.environ["TOLD"]
told = {
    "arguments": sys.argv,
    "name": __name__,
    "main": sys.modules["__main__"].__name__,
    "folder": os.getcwd(),
    "path": sys.path,
    "environment": {key: value for key, value in os.environ.items() if key not in ("TOLD", "PYTEST_CURRENT_TEST")},
    "signals": {number.name: str(signal.getsignal(number)) for number in signal.Signals},
    "descriptors": sorted(os.listdir("/proc/self/fd")),
    "temporary": tempfile.gettempdir(),
    "command": open("/proc/self/cmdline").read().rstrip("\\0").split("\\0"),
    "threads": [threading.active_count(), len(os.listdir("/proc/self/task"))],
    "group": os.getpgid(0),
}
with open(file, "w") as out:
    json.dump(told, out)
"""


@pytest.fixture
def server():
    with JobServer(preload=["numpy", "no.such.module"]) as server:
        yield server


def script_of(folder: Path, code: str) -> Path:
    script = folder / "job.py"
    script.write_text(code)
    return script


def test_a_copy_sees_what_a_new_interpreter_sees(tmp_path, monkeypatch):
    (tmp_path / "asks_for_a_folder.py").write_text("import tempfile; tempfile.gettempdir()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    script = script_of(tmp_path, WHAT_A_SCRIPT_SEES)
    server = JobServer(preload=["asks_for_a_folder", *["no.such.module"] * 20])
    other = server.start(script, {"TOLD": os.devnull})
    monkeypatch.chdir(tmp_path)
    told = {"TOLD": str(tmp_path / "copy.json"), "TMPDIR": str(tmp_path)}
    assert server.start(script, told).wait() == 0
    plain = FIGURE_VARIABLES | forked_jobs._ONE_THREAD
    plain |= {"TOLD": str(tmp_path / "plain.json"), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, script], env=os.environ | plain, check=True, stdin=subprocess.DEVNULL)
    copy, new = (json.loads((tmp_path / name).read_text()) for name in ("copy.json", "plain.json"))
    assert copy["temporary"] == str(tmp_path)
    assert copy == new
    assert other.wait() == 0
    server.close()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0),
        ("import sys; sys.exit(7)", 7),
        ("raise ValueError", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import atexit, os; atexit.register(os._exit, 5)", 5),
        ("import sys; sys.exit('no number')", 1),
        (
            "import os, threading, time; threading.Thread(target=lambda: time.sleep(0.1) or os._exit(6)).start()",
            6,
        ),
    ],
)
def test_the_exit_code_is_that_of_the_script(tmp_path, server, code, expected):
    script = script_of(tmp_path, code)
    assert server.start(script, {}).wait() == expected
    assert subprocess.run([sys.executable, script], stderr=subprocess.DEVNULL).returncode == expected


def test_what_a_job_has_printed_is_there_when_it_has_ended(tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with JobServer(preload=[]) as server:
        assert server.start(script_of(tmp_path, "print('no end of a line', end='')"), {}).wait() == 0
    assert capfd.readouterr().out == "no end of a line"


@pytest.mark.parametrize("ignored", [False, True])  # as in the background of a script
def test_an_interrupt_ends_a_job_and_not_its_server(tmp_path, ignored):
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    try:
        server = JobServer(preload=[])
    finally:
        signal.signal(signal.SIGINT, handler)
    job = server.start(script_of(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGINT)"), {})
    os.kill(server._process.pid, signal.SIGINT)
    assert job.wait() == (0 if ignored else -signal.SIGINT)
    assert server.start(script_of(tmp_path, "pass"), {}).wait() == 0
    server.close()


def test_jobs_run_at_the_same_time_and_end_in_any_order(tmp_path, server):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    waits = tmp_path / "waits.py"
    waits.write_text(f"import sys; sys.exit(len(open({str(gate)!r}).read()))")
    first, second = server.start(waits, {}), server.start(script_of(tmp_path, "import sys; sys.exit(9)"), {})
    codes = {}
    waiting = threading.Thread(target=lambda: codes.setdefault("first", first.wait()))
    waiting.start()
    assert second.wait() == 9
    assert not codes
    gate.write_text("...")
    waiting.join()
    assert codes == {"first": 3}


def test_a_job_is_there_to_be_measured_until_it_is_waited_for(tmp_path, server):
    done = tmp_path / "done"
    job = server.start(script_of(tmp_path, f"open({str(done)!r}, 'w')"), {})
    time.sleep(0.1)
    process = psutil.Process(job.pid)
    assert process.parent().parent().pid == os.getpid()
    assert not done.exists()
    assert job.wait() == 0
    assert done.exists()
    assert not process.is_running()


def test_a_job_goes_on_when_its_workflow_and_server_have_ended(tmp_path):
    gate, done = tmp_path / "gate", tmp_path / "done"
    os.mkfifo(gate)
    server = JobServer(preload=[])
    job = server.start(script_of(tmp_path, f"open({str(done)!r}, 'w').write(open({str(gate)!r}).read())"), {})
    job._answers.sendall(b".")
    server.close()
    gate.write_text("written at the end")
    until = time.monotonic() + 60
    while not done.exists() or done.read_text() != "written at the end":
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_job_that_its_workflow_never_began_ends(tmp_path):
    server = JobServer(preload=[])
    job = server.start(script_of(tmp_path, "pass"), {})
    process = psutil.Process(job.pid)
    job._answers.close()
    server.close()
    process.wait(60)


@pytest.mark.parametrize("begun", [False, True])
def test_a_server_that_was_killed_is_an_error_and_leaves_no_job(tmp_path, begun):
    server = JobServer(preload=[])
    gate, done = tmp_path / "gate", tmp_path / "done"
    os.mkfifo(gate)
    job = server.start(script_of(tmp_path, f"open({str(gate)!r}).read(); open({str(done)!r}, 'w')"), {})
    failed = []

    def wait():
        with pytest.raises(OSError, match="the process that starts jobs has ended"):
            job.wait()
        failed.append(not psutil.pid_exists(job.pid) or psutil.Process(job.pid).status() == "zombie")

    waiting = threading.Thread(target=wait, daemon=True)
    opened = None
    if begun:
        waiting.start()
        opened = gate.open("w")  # once the job reads
    server._process.kill()
    server._process.wait()
    if not begun:
        waiting.start()
    waiting.join(60)
    assert failed == [True]
    assert not done.exists()
    if opened is not None:
        opened.close()
    with pytest.raises(BrokenPipeError):
        server.start("job.py", {})


@pytest.mark.parametrize("function", ["fork", "pidfd_open"])
def test_a_job_that_cannot_be_copied_leaves_the_server_and_the_others(tmp_path, monkeypatch, function):
    (tmp_path / "as_many_as_allowed.py").write_text(
        f"""
import os
again, calls = os.{function}, []

def limited(*arguments):
    calls.append(None)
    if len(calls) == 2:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return again(*arguments)

os.{function} = limited
"""
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    script = script_of(tmp_path, "import sys; sys.exit(6)")
    with JobServer(preload=["as_many_as_allowed"]) as server:
        first = server.start(script, {})
        with pytest.raises(OSError, match="the process that starts jobs has ended"):
            server.start(script, {})
        assert [first.wait(), server.start(script, {}).wait()] == [6, 6]
        assert psutil.Process(server._process.pid).children() == []


def test_a_server_without_free_descriptors_goes_on(tmp_path, server):
    script = script_of(tmp_path, "import sys; sys.exit(6)")
    assert server.start(script, {}).wait() == 6
    limits = resource.prlimit(server._process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server._process.pid, resource.RLIMIT_NOFILE, (4, limits[1]))
    with pytest.raises(OSError, match="the process that starts jobs has ended"):
        server.start(script, {})
    resource.prlimit(server._process.pid, resource.RLIMIT_NOFILE, limits)
    assert server.start(script, {}).wait() == 6


def test_a_job_ends_where_the_ends_of_children_are_ignored(tmp_path):
    handler = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        server = JobServer(preload=[])
    finally:
        signal.signal(signal.SIGCHLD, handler)
    code = "import signal, sys; sys.exit(3 if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN else 4)"
    script = script_of(tmp_path, code)
    assert [server.start(script, {}).wait(), server.start(script, {}).wait()] == [3, 3]
    server.close()


def test_the_server_imports_nothing_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("random", "json", "taken"):
        Path(f"{name}.py").write_text("open('imported', 'w')")
    code = "import random, sys; sys.exit(int('taken' in sys.modules) + 2 * hasattr(random, 'Random'))"
    with JobServer(preload=["taken"]) as server:
        folder = tmp_path / "scripts"
        folder.mkdir()
        assert server.start(script_of(folder, code), {}).wait() == 2
    assert not Path("imported").exists()


def snakemake_job(folder: Path, **changes) -> SimpleNamespace:
    """What Snakemake knows of a script when it runs it."""
    alone = dict.fromkeys(("conda_env", "container_img", "env_modules", "shadow_dir"))
    known = {"resources": {"tmpdir": str(folder)}, "bench_record": None} | alone | changes
    return SimpleNamespace(**known)


@pytest.fixture
def started(monkeypatch):
    """A server, the function that Snakemake calls, and what it starts in new interpreters."""
    new: list[str] = []
    monkeypatch.setattr(PythonScript, "execute_script", lambda self, file, edit=False: new.append(file))
    monkeypatch.setattr(forked_jobs, "modules_of_jobs", list)
    server = fork_local_jobs(FEWEST_JOBS)
    until = time.monotonic() + 60
    while not server.ready():
        assert time.monotonic() < until
        time.sleep(0.01)
    yield server, PythonScript.execute_script, new
    server.close()


def test_snakemake_measures_a_copy(tmp_path, started, monkeypatch):
    _, execute, new = started
    code = "import os; sum(range(20_000_000)); open('told', 'w').write(os.environ['TMPDIR'])"
    record = BenchmarkRecord()
    monkeypatch.chdir(tmp_path)
    execute(snakemake_job(tmp_path, bench_record=record), str(script_of(tmp_path, code)))
    assert Path("told").read_text() == str(tmp_path)
    assert record.data_collected
    assert record.running_time > 0
    assert record.max_rss > 1
    assert new == []


def test_snakemake_hears_of_a_failure(tmp_path, started):
    _, execute, _ = started
    script = script_of(tmp_path, "import sys; sys.exit(4)")
    with pytest.raises(subprocess.CalledProcessError, match=r"job\.py' returned non-zero exit status 4"):
        execute(snakemake_job(tmp_path), str(script))


@pytest.mark.parametrize("own", ["conda_env", "container_img", "env_modules", "shadow_dir"])
def test_a_job_with_an_environment_of_its_own_is_no_copy(tmp_path, started, own):
    _, execute, new = started
    execute(snakemake_job(tmp_path, **{own: "given"}), "job.py")
    assert new == ["job.py"]


def test_jobs_start_as_before_when_the_server_has_ended(tmp_path, started):
    server, execute, new = started
    server._process.kill()
    server._process.wait()
    execute(snakemake_job(tmp_path), "job.py")
    assert new == ["job.py"]


def test_there_is_no_server_where_the_system_cannot_wait_for_copies(monkeypatch):
    def refused(process):
        raise OSError(38, "Function not implemented")

    unchanged = PythonScript.execute_script
    monkeypatch.setattr(os, "pidfd_open", refused)
    assert fork_local_jobs(FEWEST_JOBS) is None
    monkeypatch.delattr(os, "pidfd_open")
    assert fork_local_jobs(FEWEST_JOBS) is None
    assert PythonScript.execute_script is unchanged


def test_jobs_start_as_before_while_the_server_imports(tmp_path, monkeypatch):
    new: list[str] = []
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "slow_import.py").write_text(f"open({str(gate)!r}).read()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(PythonScript, "execute_script", lambda self, file, edit=False: new.append(file))
    monkeypatch.setattr(forked_jobs, "modules_of_jobs", lambda: ["slow_import"])
    server = fork_local_jobs(FEWEST_JOBS)
    PythonScript.execute_script(snakemake_job(tmp_path), "job.py")
    assert new == ["job.py"]
    gate.write_text("go on")
    server.close()


def test_the_modules_of_jobs_start_no_threads_and_import_neither_torch_nor_wandb():
    code = f"""
import importlib, os, sys
for name in {modules_of_jobs()}:
    importlib.import_module(name)
print(sorted({{"torch", "wandb", "snakemake"}} & set(sys.modules)), len(os.listdir("/proc/self/task")))
"""
    environment = os.environ | forked_jobs._ONE_THREAD
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout == "[] 1\n"
