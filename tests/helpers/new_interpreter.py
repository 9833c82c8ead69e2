"""What a new interpreter imports, where the claim is that something slow is not."""

import json
import subprocess
import sys


def imported_by(code: str) -> set[str]:
    """Return the names of all modules that are there after the code has run in an interpreter of its own."""
    report = "import json, sys; print(); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return set(names)
