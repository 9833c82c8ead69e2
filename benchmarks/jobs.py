"""What a job costs before its work: CPU time of a fresh process that has imported its stage; of Snakemake.
How many jobs the demonstration starts, and what they spend in all before their work.

    python benchmarks/jobs.py

Times are compared with a fresh process that imports numpy only, measured in the same run.
"""

import re
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path

from spdclust.execution.batch_jobs import rule_and_runs

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
    print("| process | CPU seconds | times `import numpy` | in the demonstration |\n|---|---|---|---|")
    rows = {
        "`import numpy`": [sys.executable, "-c", "import numpy"],
        "`snakemake --version`": [sys.executable, "-m", "snakemake", "--version"],
        "`snakemake -n -q` of the demonstration": [sys.executable, "-m", "snakemake", "-n", "-q"],
    }
    for name, command in rows.items():
        spent = cpu_seconds(*command)
        print(f"| {name} | {spent:.2f} | {spent / peer:.1f} | |")
    total = 0.0
    for rule, stage in sorted(stages_of_rules().items()):
        modules = ["track", "merge"] if stage == "merge" else [stage.partition(":")[0]]
        imports = ", ".join(f"spdclust.stages.{module}" for module in modules)
        spent = cpu_seconds(sys.executable, "-c", f"import {imports}")
        total += jobs[rule] * spent
        print(f"| job of `{rule}` | {spent:.2f} | {spent / peer:.1f} | {jobs[rule] or ''} |")
    print(f"| all jobs of the demonstration | {total:.1f} | {total / peer:.0f} | {jobs.total()} |")


if __name__ == "__main__":
    main()
