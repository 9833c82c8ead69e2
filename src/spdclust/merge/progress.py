"""Progress of a merge: one line on a terminal, and the same values in the log every few seconds."""

import logging
import sys
import time

from tqdm import tqdm

logger = logging.getLogger(__name__)

LOG_SECONDS = 10.0
"""Interval of the progress lines in the log."""

_UNIT = " merges"
# what a narrow terminal cuts off comes last
_LINE = "{n_fmt}/{total_fmt} merges, {rate_noinv_fmt}, {remaining} left{postfix}"


class Progress:
    """Report the progress of a merge, from the number of merges that an earlier process has done.

    Example:
        >>> progress = Progress(10, n_done=0, on_terminal=False)
        >>> progress.line(k=5, mdl=1.5, cost=-0.25, n_done=5, seconds=2.0)
        '5/10 merges, 2.50 merges/s, 00:02 left, k 5, MDL 1.5 bits, pair cost -0.25 bits'

    Args:
        n_merges: total number of merges.
        n_done: merges done before.
        on_terminal: show a line if standard error is a terminal.
        log_seconds: interval at which the same values are logged; None for `LOG_SECONDS`.
    """

    def __init__(
        self, n_merges: int, *, n_done: int, on_terminal: bool, log_seconds: float | None = None
    ) -> None:
        self._n_merges = n_merges
        self._first = n_done
        self._log_seconds = LOG_SECONDS if log_seconds is None else log_seconds
        self._start = self._last_log = time.monotonic()
        self._bar = tqdm(
            total=n_merges,
            initial=n_done,
            unit=_UNIT,
            bar_format=_LINE,
            disable=not (on_terminal and sys.stderr.isatty()),
        )

    def update(self, *, k: int, mdl: float, cost: float, n_done: int) -> None:
        """Report the current state."""
        self._bar.set_postfix_str(_values(k, mdl, cost), refresh=False)
        self._bar.update(n_done - self._bar.n)
        now = time.monotonic()
        if now - self._last_log >= self._log_seconds:
            self._last_log = now
            logger.info(self.line(k=k, mdl=mdl, cost=cost, n_done=n_done, seconds=now - self._start))

    def line(self, *, k: int, mdl: float, cost: float, n_done: int, seconds: float) -> str:
        """Return the values as one line."""
        return tqdm.format_meter(
            n_done,
            self._n_merges,
            seconds,
            unit=_UNIT,
            bar_format=_LINE,
            postfix=_values(k, mdl, cost),
            initial=self._first,
        )

    def end(self) -> None:
        """End the line on the terminal."""
        self._bar.close()


def _values(k: int, mdl: float, cost: float) -> str:
    return f"k {k}, MDL {mdl:.6g} bits, pair cost {cost:.4g} bits"
