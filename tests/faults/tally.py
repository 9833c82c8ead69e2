"""How often each fault was tried and what came of it: the table at the end of `make test-faults`."""

import json
import os
from collections import Counter
from pathlib import Path

VARIABLE = "SPDCLUST_FAULTS_TALLY"
"""Names the file that all processes of the tests add to."""


class Tally:
    """Counts by fault, stage and outcome, kept in a file."""

    def add(self, fault: str, stage: str, **outcomes: int) -> None:
        if VARIABLE not in os.environ:
            return
        with Path(os.environ[VARIABLE]).open("a") as file:
            file.write(json.dumps([fault, stage, outcomes]) + "\n")

    def lines(self) -> list[str]:
        rows = [json.loads(line) for line in Path(os.environ[VARIABLE]).read_text().splitlines()]
        lines = []
        for fault in dict.fromkeys(row[0] for row in rows):
            alike = [row for row in rows if row[0] == fault]
            total: Counter[str] = Counter()
            for _, _, outcomes in alike:
                total.update(outcomes)
            lines.append(f"{fault}: {_said(total)}")
            lines += [f"    {stage}: {_said(outcomes)}" for _, stage, outcomes in alike]
        return lines


def _said(outcomes: dict[str, int]) -> str:
    return ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in outcomes.items())


TALLY = Tally()
