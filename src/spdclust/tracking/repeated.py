"""What a finished merge was like on its way, computed again from its batches."""

import logging
from collections.abc import Iterator
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.files.merged_batches import merged_batches
from spdclust.merge.history import MergeHistory
from spdclust.merge.repeating import repeat_merge
from spdclust.merge.view import MergeView
from spdclust.tracking.matrices import MergeSample

log = logging.getLogger(__name__)


class Repeated:
    """What the matrices of a finished merge were like, computed again from its batches when first asked for.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.files.histories import load_merge_history
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder)
        ...     repeated = Repeated(place.batches(0), load_merge_history(place.history(0)))
        ...     repeated.sample(0).k_groups, repeated.sample(7).sizes.tolist()
        (11, [3, 3, 3, 3])

    Args:
        batches: folder of the batches.
        history: what was done.
    """

    def __init__(self, batches: Path, history: MergeHistory) -> None:
        self._batches = batches
        self._history = history
        self._views: Iterator[MergeView] | None = None
        self._wanted: list[int] = []
        self._works = True

    def sample(self, iteration: int) -> MergeSample | None:
        """Return what would have been kept after a merge; iterations must be asked for in order."""
        if not self._works:
            return None
        try:
            if self._views is None:
                source = merged_batches(self._history, self._batches)
                self._views = repeat_merge(source, self._history, _taken(self._wanted))
            self._wanted.append(iteration)
            return MergeSample.of(next(self._views))
        except (InputError, MemoryError) as error:
            self._works = False
            log.warning(
                "%s; statistics of the matrices and figures of the merge state are left out. They can be had "
                "while the batches are there",
                error,
            )
            return None


def _taken(waiting: list[int]) -> Iterator[int]:
    while waiting:
        yield waiting.pop(0)
