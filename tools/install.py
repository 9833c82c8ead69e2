#!/usr/bin/env python3
"""Install this package into the environment of the Python that runs this: `tools/install.py "" lm,dev`.

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
    "lm,dev": "language models, tests and lint: transformers, datasets, pytest, ruff, mypy, …",
}


def doing(line: str) -> str | None:
    """Return what a line of pip's output says that it is doing now, for readers; None if nothing."""
    if packages := re.match(r"Installing collected packages: (.*)", line):
        return f"installing {packages[1].count(',') + 1} packages"
    if file := re.match(r"\s*(?:Downloading|Processing|Collecting|Using cached) (?:\S*/)?([\w.]+)", line):
        return f"fetching {re.sub(r'-[0-9].*', '', file[1])}"
    return "building spdclust" if line.startswith("Building") else None


def install(extra: str) -> list[str]:
    """Run pip for one extra; return its output if it failed."""
    what = [f"spdclust[{extra}]"] if extra else ["-e", "."]  # which is there by then, and not built again
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    began, ended, output, now = time.monotonic(), threading.Event(), [], ["starting"]

    def report() -> None:
        while not ended.wait(EVERY_S):
            print(f"    {time.monotonic() - began:3.0f} s  {now[0]}", flush=True)

    threading.Thread(target=report, daemon=True).start()
    with subprocess.Popen(
        [*command, "-c", "constraints.txt", *what],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as pip:
        for line in pip.stdout or ():
            output.append(line)
            now[0] = doing(line) or now[0]
    ended.set()
    return output if pip.returncode else []


for number, extra in enumerate(sys.argv[1:], start=1):
    print(f"  {number} of {len(sys.argv) - 1}: {STEPS.get(extra, extra)}", flush=True)
    failed = install(extra)
    if failed:
        sys.exit("".join(failed) + f"Error: pip could not install {STEPS.get(extra, extra)}")
