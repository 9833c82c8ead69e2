"""Mutation testing: small changes of the pure and the data layer, each of which some test should notice.

    python benchmarks/mutants.py --number 240 --seed 0
    python benchmarks/mutants.py --survivors          # those again, with the tests as they are now
    python benchmarks/mutants.py --files src/spdclust/stability/summary.py --tests tests/stability/test_*.py
                                                      # minutes: some files, against some tests

The checkout is copied, with caches of its own, and only the copies are changed. One run of the tests under
coverage shows which tests run which line (kernels as plain Python); a mutation is tested by the tests that
run its line, fast ones first, until one fails. Running out of time counts as a failure.
"""

import argparse
import ast
import copy
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from xml.etree import ElementTree

from coverage import CoverageData

ROOT = Path(__file__).resolve().parents[1]
SLOW_TO_START = r"tests/(workflow|repository|execution|slurm|faults|browser)/|test_(projects|recovery)\.py"
"""Tests that start other processes, where coverage sees nothing, or take long for what they find."""

OF_KERNELS = (
    r"tests/(merge/test_(kernels|batches|engine|laws|merging)\.py|partitions/|stability/test_(agreement|coclustering)|"
    r"groups/test_(trees|evidence|members|samples)\.py)"
)
"""Tests that are fast enough without compiled kernels."""

NOT_MARKED = "not slow and not slurm and not browser and not faults"
OTHER_OPERATOR: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
_PAIRS = ("min max", "any all", "argmin argmax", "minimum maximum", "floor ceil")
OTHER_NAME = {a: b for pair in _PAIRS for a, b in (pair.split(), pair.split()[::-1])}
NO_MEANING = {"log", "logger", "logging", "warnings", "progress", "print"}
"""What is called only for a message."""

LOOKS = {"set_axis_off", "margins", "tick_params", "set_size_inches", "subplots_adjust"}
"""Methods that only change how a figure looks; nor are numbers given by keyword changed in `plotting`."""

WARM = (
    "scipy.stats", "scipy.cluster.hierarchy", "scipy.optimize", "torch", "numba", "matplotlib.pyplot",
    "pydantic", "hypothesis", "jaxtyping", "beartype", "transformers", "datasets", "wandb",
)  # fmt: skip
"""Libraries that are slow to import."""

SMALL = 10
"""Larger numbers are limits of what is shown, read at once or kept: one more of them means nothing."""


@dataclass(frozen=True)
class Mutation:
    """One change: the bytes from `start` to `end` of a file become `after`."""

    file: str
    line: int
    last_line: int
    start: int
    end: int
    before: str
    after: str
    outcome: str = ""
    by: str = ""

    def __str__(self) -> str:
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{self.file}:{self.line}  {before}  ->  {after}"


# --- what can be changed


def mutations_of(file: Path) -> list[Mutation]:
    """Return all changes of a file that mean something."""
    source = file.read_bytes()
    line_start = [0]
    for line in source.splitlines(keepends=True):
        line_start.append(line_start[-1] + len(line))
    found = []
    for node, other in _changes(ast.parse(source), looks="plotting" in file.parts):
        start = line_start[node.lineno - 1] + node.col_offset
        end = line_start[node.end_lineno - 1] + node.end_col_offset
        text = ast.unparse(other) if isinstance(other, ast.stmt) else f"({ast.unparse(other)})"
        name = file.relative_to(ROOT).as_posix()
        before = source[start:end].decode()
        found.append(Mutation(name, node.lineno, node.end_lineno, start, end, before, text))
    return found


def _changes(node: ast.AST, *, looks: bool) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield nodes and what to put in their place, without messages, types and what only helps mypy."""
    if _means_nothing(node) or (
        looks and isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant | ast.Tuple)
    ):
        return
    yield from _others(node)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _changes(child, looks=looks)


def _means_nothing(node: ast.AST) -> bool:
    match node:
        case ast.Raise() | ast.Assert() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Call(func=ast.Name(id=name)) if name.endswith("Error"):
            return True
        case ast.Call(func=ast.Attribute(attr=name)) if name in LOOKS:
            return True
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name))) if name in NO_MEANING:
            return True
        case ast.FunctionDef(name="__repr__" | "__str__" | "_facts"):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__" | "__version__")]):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Compare(left=ast.Name(id="__name__"))):
            return True
        case ast.keyword(arg="strict" | "indent" | "ensure_ascii"):
            return True
    return False


def _others(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield what a node, or the condition in it, can become."""

    def changed(**fields: object) -> tuple[ast.AST, ast.AST]:
        other = copy.copy(node)
        for name, value in fields.items():
            setattr(other, name, value)
        return node, other

    match node:
        case ast.Compare(ops=ops):
            for place, operator in enumerate(ops):
                yield changed(ops=[*ops[:place], OTHER_OPERATOR[type(operator)](), *ops[place + 1 :]])
        case ast.BinOp(op=operator, left=left, right=right) if type(operator) in OTHER_OPERATOR:
            if not any(isinstance(getattr(side, "value", None), str) for side in (left, right)):
                yield changed(op=OTHER_OPERATOR[type(operator)]())
        case ast.AugAssign(op=operator) | ast.BoolOp(op=operator) if type(operator) in OTHER_OPERATOR:
            yield changed(op=OTHER_OPERATOR[type(operator)]())
        case ast.UnaryOp(operand=operand):
            yield node, operand
        case ast.Constant(value=bool(value)):
            yield node, ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)) if abs(value) <= SMALL:
            yield node, ast.Constant(value + 1)
        case ast.Name(id=name) if name in OTHER_NAME:
            yield changed(id=OTHER_NAME[name])
        case ast.Attribute(attr=name) if name in OTHER_NAME:
            yield changed(attr=OTHER_NAME[name])
        case ast.Continue():
            yield node, ast.Break()
        case ast.Break():
            yield node, ast.Continue()
        case ast.Expr(value=ast.Call() as call) if not _means_nothing(call):
            yield node, ast.Pass()
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr):
                yield test, ast.UnaryOp(ast.Not(), test)


def choose(number: int, seed: int, files: list[Path]) -> list[Mutation]:
    """Return so many changes, as evenly over the modules as these allow: those of some files, or all."""
    sys.path[:0] = [str(ROOT / "tests/repository"), str(ROOT / "tests/helpers")]
    import test_architecture as architecture

    chosen = [name for name in architecture.modules() if architecture.is_pure(name)]
    data = architecture.LAYERS["data"].split()
    chosen += [name for name in architecture.modules() if name.split(".")[0] in data]
    random.Random(seed).shuffle(chosen)
    wanted = {file.resolve() for file in files}
    chosen = [name for name in chosen if not wanted or architecture.modules()[name] in wanted]
    if len(chosen) < len(wanted):
        sys.exit("not all of these files are modules of the pure or the data layer")
    of_module = []
    for name in chosen:
        of_module.append(mutations_of(architecture.modules()[name]))
        random.Random(f"{seed} {name}").shuffle(of_module[-1])
    turns = range(max(map(len, of_module)))
    return [each[turn] for turn in turns for each in of_module if turn < len(each)][:number]


# --- the tests that run a line


class Copies:
    """Copies of the tracked files, each with its own caches, and what the tests do in the first of them."""

    def __init__(self, folder: Path, jobs: int, tests: list[Path]) -> None:
        self.folder = folder
        self.jobs = jobs
        self.tests = sorted(test.resolve().relative_to(ROOT).as_posix() for test in tests)
        folder.mkdir(parents=True, exist_ok=True)
        if (ROOT.parent / "shared").is_dir() and not (folder / "shared").exists():
            (folder / "shared").symlink_to(ROOT.parent / "shared")
        self.digests = self._copy(folder / "0")

    def _copy(self, to: Path) -> dict[str, str]:
        """Copy the files of the checkout that differ from those of a copy; return the digests of all."""
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split(
            "\0"
        )
        digests = {}
        for name in filter(None, names):
            source, target = ROOT / name, to / name
            if source.is_file():
                content = source.read_bytes()
                digests[name] = hashlib.sha256(content).hexdigest()
                if not (target.is_file() and target.read_bytes() == content):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source, target)
        return digests

    @property
    def edited(self) -> set[str]:
        """The files of package and tests that are not what they were when the tests were measured."""
        before = self._measured()["files"]
        return {
            name
            for name, digest in self.digests.items()
            if name.startswith(("src/", "tests/")) and before.get(name) != digest
        }

    def _measured(self) -> dict[str, Any]:
        record = self.folder / "measured.json"
        return json.loads(record.read_text()) if record.exists() else {"files": {}, "tests": []}

    @property
    def are_measured(self) -> bool:
        """Whether it is known which of the chosen tests runs which line of the files as they are."""
        return not self.edited and self._measured()["tests"] == self.tests

    def environment(self, number: int, *, plain: bool) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        own = {"PYTHONPATH": str(self.folder / str(number) / "src"), "OMP_NUM_THREADS": "1"}
        own |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # read when those are imported
        return kept | own | ({"NUMBA_DISABLE_JIT": "1"} if plain else {})

    def measure(self) -> None:
        """Run the tests once under coverage, and once more those of kernels as plain Python."""
        makefile = (ROOT / "Makefile").read_text()
        slow = re.search(r"^SLOW_UNCOMPILED := (.*)", makefile, re.MULTILINE)
        tests = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").glob("*/test_*.py"))
        tests = self.tests or [*(test for test in tests if not re.search(SLOW_TO_START, test)), "src"]
        kernels = [test for test in tests if re.search(OF_KERNELS, test)]
        for name, which in (("compiled", tests), ("plain", kernels)):
            for old in (f"{name}.xml", f"coverage.{name}"):
                (self.folder / old).unlink(missing_ok=True)
            if not which:  # pytest would run all
                (self.folder / f"{name}.xml").write_text("<testsuites/>")
                continue
            print(f"running the tests under coverage, {name}", flush=True)
            command = [sys.executable, "-m", "pytest", "-q", "-n", str(self.jobs), "--cov=spdclust",
                       "--cov-report=", "--cov-context=test", f"--junitxml={self.folder / name}.xml",
                       "-m", NOT_MARKED, *which]  # fmt: skip
            command += ["-k", f"not ({slow[1]})"] if name == "plain" else []
            environment = self.environment(0, plain=name == "plain")
            environment |= {"COVERAGE_FILE": str(self.folder / f"coverage.{name}")}
            output = self.folder / f"{name}.log"
            with output.open("w") as log:
                done = subprocess.run(command, cwd=self.folder / "0", env=environment, stdout=log, stderr=log)
            if done.returncode > 1:
                sys.exit(f"the tests cannot run: {output}")
            print(output.read_text(errors="replace").rstrip().rpartition("\n")[2], flush=True)
        record = {"files": self.digests, "tests": self.tests}
        (self.folder / "measured.json").write_text(json.dumps(record))

    def seconds(self, name: str) -> dict[tuple[str, str], float]:
        """Return how long each test took that passed, by its module and name."""
        passed = {}
        for case in ElementTree.parse(self.folder / f"{name}.xml").iter("testcase"):
            if not any(child.tag in ("failure", "error", "skipped") for child in case):
                passed[case.get("classname"), case.get("name")] = float(case.get("time"))
        return passed

    def more(self) -> None:
        for number in range(1, self.jobs):
            if not (self.folder / str(number)).exists():
                shutil.copytree(self.folder / "0", self.folder / str(number), symlinks=True)
            self._copy(self.folder / str(number))


class TestsOfLines:
    """The tests that run a line, fast ones first."""

    def __init__(self, copies: Copies, limit: float) -> None:
        self.copies = copies
        self.limit = limit
        self.data, self.seconds = {}, {}
        for name in ("compiled", "plain"):
            self.data[name] = CoverageData(str(copies.folder / f"coverage.{name}"))
            self.data[name].read()
            self.seconds[name] = copies.seconds(name)
        self.new = sorted(name for name in copies.edited if re.fullmatch(r"tests/\w+/test_\w+\.py", name))
        self.seconds_of_new = {False: 0.0, True: 0.0}

    def time_new(self, *, plain: bool) -> None:
        """Run new tests once without a change: they must pass, and how long they take is not known yet."""
        forks, began = Forks(self.copies, 0, plain=plain), time.monotonic()
        code, printed = forks.pytest(self.new, 3600)
        forks.end()
        if code != 0:
            sys.exit(f"new tests fail without a change:\n{printed[-3000:]}")
        self.seconds_of_new[plain] = time.monotonic() - began

    def of(self, mutation: Mutation) -> tuple[list[str], float]:
        """Return the tests, no more of them than take the limit in seconds, and how long they take."""
        name = "plain" if is_kernel(mutation.file) else "compiled"
        at_line = self.data[name].contexts_by_lineno(str(self.copies.folder / "0" / mutation.file))
        lines = range(mutation.line, mutation.last_line + 1)
        tests = {context.split("|")[0] for line in lines for context in at_line.get(line, [])} - {""}
        # a line that runs once, at import, and one that moved: whatever runs any line of the file
        if not tests or mutation.file in self.copies.edited:
            tests = {context.split("|")[0] for contexts in at_line.values() for context in contexts} - {""}
        timed = []
        for test in tests:
            path, _, called = test.partition("::")
            spent = self.seconds[name].get((path.removesuffix(".py").replace("/", "."), called))
            if spent is not None and path not in self.new:
                timed.append((spent, test))
        chosen, total = list(self.new), 0.0
        for spent, test in sorted(timed):
            if total + spent > self.limit and total:
                break
            chosen.append(test)
            total += spent
        return chosen, total + self.seconds_of_new[is_kernel(mutation.file)]


def is_kernel(file: str) -> bool:
    return "/kernels" in file


# --- running them


class Forks:
    """A process in a copy that has imported the libraries, and forks for each call of pytest."""

    def __init__(self, copies: Copies, number: int, *, plain: bool) -> None:
        self.folder = copies.folder / str(number)
        command = [sys.executable, str(Path(__file__).resolve()), "--serve"]
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=copies.environment(number, plain=plain), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def pytest(self, tests: list[str], seconds: float) -> tuple[int | None, str]:
        """Return the exit code, None after so many seconds, and what was printed."""
        (self.folder / ".tests").write_text("\n".join(tests))
        arguments = ["-x", "-q", "--no-header", "--tb=line", f"@{self.folder / '.tests'}"]
        print(json.dumps([arguments, seconds]), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline()), (self.folder / ".printed").read_text(
            errors="replace"
        )

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


def serve() -> None:
    """Fork for each line on standard input; print how each child ended. No child outlives this process."""
    for name in WARM:
        importlib.import_module(name)
    import pytest

    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for line in sys.stdin:
        arguments, seconds = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.setsid()
            printed = os.open(".printed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(printed, stream)
            code = 3
            try:
                code = int(pytest.main(arguments))
            finally:
                sys.stdout.flush()
                os._exit(code)
        limit, ended, status = time.monotonic() + seconds, 0, 0
        try:
            while not ended and time.monotonic() < limit and os.getppid() == parent:
                time.sleep(0.02)
                ended, status = os.waitpid(child, os.WNOHANG)
        finally:
            if not ended:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status) if ended else None), flush=True)


def tried(mutation: Mutation, tests: TestsOfLines, forks: Forks) -> Mutation:
    """Return the mutation with its outcome, after its tests in a copy."""
    chosen, seconds = tests.of(mutation)
    if not chosen:
        return replace(mutation, outcome="survived", by="no test runs it")
    file = forks.folder / mutation.file
    source, at = file.read_bytes(), file.stat().st_mtime
    try:
        file.write_bytes(source[: mutation.start] + mutation.after.encode() + source[mutation.end :])
        os.utime(file, (at, at + 10 + mutation.start))  # compiled modules are found by time and size
        code, printed = forks.pytest(chosen, 120 + 10 * seconds)
    finally:
        file.write_bytes(source)
        os.utime(file, (at, at))
    if code == 0:
        return replace(mutation, outcome="survived", by=f"{len(chosen)} tests")
    if code == 4 and "not found: " in printed:
        raise RuntimeError(f"{mutation}\n{printed[-3000:]}")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", printed, re.MULTILINE)
    by = "time" if code is None else failed[1] if failed else f"exit code {code}"
    return replace(mutation, outcome="killed", by=by)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--number", type=int, default=240, help="of mutations")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--limit", type=float, default=40.0, help="seconds of tests for each mutation")
    options.add_argument(
        "--folder", type=Path, default=ROOT / "build/mutants", help="of the copies and results"
    )
    options.add_argument(
        "--survivors", action="store_true", help="only those of the last run, also with new tests"
    )
    options.add_argument("--files", type=Path, nargs="+", default=[], help="change only these")
    options.add_argument("--tests", type=Path, nargs="+", default=[], help="run only these, slow ones too")
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        return serve()
    results = given.folder / "results.json"
    mutations, kept = choose(given.number, given.seed, given.files), list[Mutation]()
    if given.survivors:
        before = [Mutation(**each) for each in json.loads(results.read_text())]
        kept = [each for each in before if each.outcome != "survived"]
        survived = {str(each) for each in before if each.outcome == "survived"}
        mutations = [each for each in mutations if str(each) in survived]
    copies = Copies(given.folder.resolve(), given.jobs, given.tests)
    if not given.survivors and not copies.are_measured:
        copies.measure()
    copies.more()
    tests = TestsOfLines(copies, given.limit)
    for plain in {is_kernel(mutation.file) for mutation in mutations} if tests.new else ():
        tests.time_new(plain=plain)
    forks: dict[tuple[int, bool], Forks] = {}
    free: SimpleQueue[int] = SimpleQueue()
    for number in range(given.jobs):
        free.put(number)
    done: list[Mutation] = []

    def work(mutation: Mutation) -> None:
        number, plain = free.get(), is_kernel(mutation.file)
        try:
            if (number, plain) not in forks:
                forks[number, plain] = Forks(copies, number, plain=plain)
            result = tried(mutation, tests, forks[number, plain])
            done.append(result)
        finally:
            free.put(number)
        results.write_text(json.dumps([asdict(each) for each in kept + done], indent=1) + "\n")
        print(f"[{len(done)}/{len(mutations)}] {result.outcome} {result}  ({result.by})", flush=True)

    pool = ThreadPoolExecutor(given.jobs)
    try:
        list(pool.map(work, mutations))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for each in forks.values():
            each.end()
    survivors = sorted(str(each) for each in done if each.outcome == "survived")
    n_all = len(kept) + len(done)
    share = f"{1 - len(survivors) / n_all:.1%}" if n_all else "none to try"
    print(f"{n_all - len(survivors)} of {n_all} mutations killed ({share})")
    print("\n".join(survivors))


if __name__ == "__main__":
    main()
