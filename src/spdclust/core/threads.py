"""Distribute a kernel's work over threads; results do not depend on the number of threads."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from spdclust.core.types import Num

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_threads() -> int:
    """Return the number of cores available to this process.

    Example:
        >>> available_threads() >= 1
        True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def even_parts(work: Num[np.ndarray, " items"], n_parts: int) -> list[tuple[int, int]]:
    """Split items into consecutive parts of about equal work.

    Example:
        >>> even_parts(np.array([1, 1, 1, 1, 4]), 2)
        [(0, 4), (4, 5)]
    """
    if len(work) == 0:
        return []
    if n_parts == 1:
        return [(0, len(work))]
    done = np.cumsum(work, dtype=np.float64)
    n_parts = min(n_parts, len(done))
    cuts = np.searchsorted(done, done[-1] * np.arange(1, n_parts) / n_parts, side="left") + 1
    edges = np.unique(np.concatenate([[0], np.minimum(cuts, len(done)), [len(done)]]))
    return list(itertools.pairwise(edges.tolist()))


def run_parts(task: Callable[[int, int], Result], parts: list[tuple[int, int]], threads: int) -> list[Result]:
    """Call `task(first, last)` for every part on `threads` threads; return results in the order of the parts.

    Example:
        >>> run_parts(lambda first, last: last - first, [(0, 4), (4, 5)], threads=2)
        [4, 1]
    """
    if threads == 1 or len(parts) == 1:
        return [task(*part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda part: task(*part), parts))


def run_in_order(task: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Yield `task(item)` for every item in order; this thread makes the items, which should take little time.

    At most `threads` + 1 items exist at a time, whether or not their results have been taken.

    Example:
        >>> list(run_in_order(len, ["a", "bb"], threads=2))
        [1, 2]
    """
    if threads == 1:
        yield from map(task, items)
        return
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(task, item))
            del item
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def one_ahead(items: Iterable[Item], threads: int) -> Iterator[Item]:
    """Yield items in order; with several threads, the next item is made while the caller uses the last one.

    Example:
        >>> list(one_ahead((number * number for number in range(3)), threads=2))
        [0, 1, 4]
    """
    if threads == 1:
        yield from items
        return
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: list(itertools.islice(iterator, 1)))
        while items_ready := waiting.result():
            waiting = pool.submit(lambda: list(itertools.islice(iterator, 1)))
            yield items_ready.pop()
