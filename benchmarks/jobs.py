"""What a job costs before its work: CPU time of a fresh process that has imported its stage; of Snakemake.
How many jobs the demonstration starts, and what they spend in all before their work: as new interpreters, and
as copies of a server, which is how a workflow on one machine starts all but its first jobs.

    python benchmarks/jobs.py

Times are compared with a fresh process that imports numpy only, measured in the same run.
"""

import re
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from spdclust.execution.batch_jobs import rule_and_runs
from spdclust.execution.forked_jobs import JobServer, modules_of_jobs

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 3


def cpu_seconds(*command: str) -> float:
    """Return the least CPU time of a few runs of a command."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    spent = []
    for _ in range(REPEATS):
        before = used()
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        spent.append(used() - before)
    return min(spent)


def cpu_seconds_of_copy(server: JobServer, code: str) -> float:
    """Return the least CPU time of a few copies of a server that run some code."""
    with tempfile.TemporaryDirectory() as folder:
        script, spent = Path(folder) / "script.py", Path(folder) / "spent"
        script.write_text(
            f"import os\n{code}\nopen({str(spent)!r}, 'a').write(f'{{sum(os.times()[:2])}}\\n')"
        )
        for _ in range(REPEATS):
            if server.start(script, {}).wait() != 0:
                raise RuntimeError(f"a copy could not run: {code}")
        return min(map(float, spent.read_text().split()))


def stages_of_rules() -> dict[str, str]:
    """Return the stage of every rule, `<module>:<function>` or a module; all figures are one rule here."""
    found = {}
    for file in (ROOT / "rules").glob("*.smk"):
        for rule in re.split(r"^ *rule\b", file.read_text(), flags=re.MULTILINE)[1:]:
            stage = re.search(r'stage_(?:params|fingerprint)\(\s*"([\w:]+)"', rule)
            name = re.match(r' (\w+):|:\s+name:\s+name_of_form\("(\w+)"', rule)
            if stage is not None:
                found["figures" if name is None else name[1] or name[2]] = stage[1]
    return found


def jobs_of_the_demonstration() -> Counter[str]:
    """Return how many jobs of each rule a fresh demonstration starts, all figures as one."""
    plan = [sys.executable, "-m", "snakemake", "-n", "--forceall", "-q", "rules"]
    said = subprocess.run(plan, check=True, cwd=ROOT, capture_output=True, text=True).stdout
    jobs: Counter[str] = Counter()
    for rule, count in dict(re.findall(r"^(\w+) +(\d+)$", said, re.MULTILINE)).items():
        if rule not in ("all", "total"):
            jobs["figures" if rule.startswith("plot_") else rule_and_runs(rule)[0]] += int(count)
    return jobs


def main() -> None:
    """Print a Markdown table."""
    peer = cpu_seconds(sys.executable, "-c", "import numpy")
    jobs = jobs_of_the_demonstration()
    print("| process | CPU s, new | times `import numpy` | CPU s, copy | in the demonstration |")
    print("|---|---|---|---|---|")
    preload = "; ".join(f"import {module}" for module in modules_of_jobs())
    rows = {
        "`import numpy`": [sys.executable, "-c", "import numpy"],
        "`snakemake --version`": [sys.executable, "-m", "snakemake", "--version"],
        "`snakemake -n -q` of the demonstration": [sys.executable, "-m", "snakemake", "-n", "-q"],
        "server": [sys.executable, "-c", preload],
    }
    for name, command in rows.items():
        spent = cpu_seconds(*command)
        print(f"| {name} | {spent:.2f} | {spent / peer:.1f} | | {1 if name == 'server' else ''} |")
    total = copied = 0.0
    with JobServer(modules_of_jobs()) as server:
        for rule, stage in sorted(stages_of_rules().items()):
            modules = ["track", "merge"] if stage == "merge" else [stage.partition(":")[0]]
            code = f"import {', '.join(f'spdclust.stages.{module}' for module in modules)}"
            new, copy = cpu_seconds(sys.executable, "-c", code), cpu_seconds_of_copy(server, code)
            total, copied = total + jobs[rule] * new, copied + jobs[rule] * copy
            print(f"| job of `{rule}` | {new:.2f} | {new / peer:.1f} | {copy:.2f} | {jobs[rule] or ''} |")
    print(f"| all jobs of it | {total:.1f} | {total / peer:.0f} | {copied:.1f} | {jobs.total()} |")


if __name__ == "__main__":
    main()
