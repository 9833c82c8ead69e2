#!/usr/bin/env python3
"""Install this package into the environment of the Python that runs this: `.ci/install.py "" lm dev`.

Each extra is a step ("" is the package itself). Every ten seconds a line says what pip is doing; if pip
fails, all of its output follows.
"""

import re
import subprocess
import sys
import threading
import time

EVERY_S = 10
STEPS = {
    "": "spdclust and what it needs: torch, numba, snakemake, … (one to three minutes the first time)",
    "lm": "language models: transformers, datasets",
    "dev": "tests and lint: pytest, ruff, mypy, …",
}


def install(extra: str) -> list[str]:
    """Run pip for one extra; return its output if it failed."""
    requirement = f".[{extra}]" if extra else "."
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    began, shown, output = time.monotonic(), threading.Event(), ["starting pip"]

    def report() -> None:
        while not shown.wait(EVERY_S):
            words = re.sub(r"(/\S*/|\s\(.*| from https?:.*)", "", output[-1].strip())
            print(f"    {time.monotonic() - began:3.0f} s  {words[:90]}", flush=True)

    threading.Thread(target=report, daemon=True).start()
    with subprocess.Popen(
        [*command, "-c", "constraints.txt", "-e", requirement],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as pip:
        for line in pip.stdout or ():
            output += [line] if line.strip() else []
    shown.set()
    return output if pip.returncode else []


for number, extra in enumerate(sys.argv[1:], start=1):
    print(f"  {number} of {len(sys.argv) - 1}: {STEPS.get(extra, extra)}", flush=True)
    failed = install(extra)
    if failed:
        sys.exit("".join(failed) + f"Error: pip could not install {STEPS.get(extra, extra)}")
