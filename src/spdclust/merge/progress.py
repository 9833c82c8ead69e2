"""Progress of a merge: one line on a terminal, and the same values in the log every few seconds."""

import logging
import sys
import time

logger = logging.getLogger(__name__)

LOG_SECONDS = 10.0
"""Interval of the progress lines in the log."""


class Progress:
    """Report the progress of a merge.

    Example:
        >>> Progress(10, on_terminal=False).line(k=5, mdl=1.5, cost=-0.25, n_done=5, seconds=2.0)
        '5/10 merges, k 5, MDL 1.5 bits, pair cost -0.25 bits, 2.5 merges/s, 0:00:02 left'

    Args:
        n_merges: total number of merges.
        on_terminal: show a line if standard error is a terminal.
        log_seconds: interval at which the same values are logged; None for `LOG_SECONDS`.
    """

    def __init__(self, n_merges: int, *, on_terminal: bool, log_seconds: float | None = None) -> None:
        self.n_merges = n_merges
        self._on_terminal = on_terminal and sys.stderr.isatty()
        self._log_seconds = LOG_SECONDS if log_seconds is None else log_seconds
        self._start = self._last_log = time.monotonic()
        self._first: int | None = None

    def begin(self, n_done: int) -> None:
        """Start the clock, given the number of merges done in an earlier process."""
        self._start = self._last_log = time.monotonic()
        self._first = n_done

    def update(self, *, k: int, mdl: float, cost: float, n_done: int) -> None:
        """Report the current state."""
        now = time.monotonic()
        seconds = now - self._start
        line = self.line(k=k, mdl=mdl, cost=cost, n_done=n_done, seconds=seconds)
        if self._on_terminal:
            sys.stderr.write(f"\r\x1b[2K{line}")
            sys.stderr.flush()
        if now - self._last_log >= self._log_seconds:
            self._last_log = now
            logger.info(line)

    def line(self, *, k: int, mdl: float, cost: float, n_done: int, seconds: float) -> str:
        """Return the values as one line."""
        rate = (n_done - (self._first or 0)) / seconds if seconds > 0 else 0.0
        left = (self.n_merges - n_done) / rate if rate > 0 else 0.0
        clock = f"{int(left) // 3600}:{int(left) // 60 % 60:02d}:{int(left) % 60:02d}"
        return (
            f"{n_done}/{self.n_merges} merges, k {k}, MDL {mdl:.6g} bits, pair cost {cost:.4g} bits, "
            f"{rate:.3g} merges/s, {clock} left"
        )

    def end(self) -> None:
        """End the line on the terminal."""
        if self._on_terminal:
            sys.stderr.write("\n")
