"""What a job costs before its work: CPU time of a fresh process that has imported its stage; of Snakemake.

    python benchmarks/jobs.py

Times are compared with a fresh process that imports numpy only, measured in the same run.
"""

import resource
import subprocess
import sys
from pathlib import Path

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


def main() -> None:
    """Print a Markdown table."""
    peer = cpu_seconds(sys.executable, "-c", "import numpy")
    print("| process | CPU seconds | times `import numpy` |\n|---|---|---|")
    print(f"| `import numpy` | {peer:.2f} | 1 |")
    rows = {
        "`snakemake --version`": [sys.executable, "-m", "snakemake", "--version"],
        "`snakemake -n -q` of the demonstration": [sys.executable, "-m", "snakemake", "-n", "-q"],
    }
    for script in sorted((ROOT / "workflow/scripts").glob("*.py")):
        stages = [
            line.split()[1]
            for line in script.read_text().splitlines()
            if line.strip().startswith("from spdclust.stages")
        ]
        rows[f"job of `{script.stem}`"] = [sys.executable, "-c", f"import {', '.join(stages)}"]
    for name, command in rows.items():
        spent = cpu_seconds(*command)
        print(f"| {name} | {spent:.2f} | {spent / peer:.1f} |")


if __name__ == "__main__":
    main()
