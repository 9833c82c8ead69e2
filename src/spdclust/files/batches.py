"""The activation batches of a folder, one in memory at a time; those that a merge has read."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spdclust.core.arguments import checked, either, file_path, several, truth
from spdclust.core.errors import InputError
from spdclust.core.provenance import INSIST, check_one_model, model_digests
from spdclust.core.types import Brief, Float, Labels
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.batch_format import (
    ALLOWED,
    THRESHOLD,
    read_head,
    stored_provenance,
    stored_shape,
    stored_threshold,
)
from spdclust.files.ensemble_folder import EnsembleFolder, run_number
from spdclust.files.stored_batch import StoredBatch
from spdclust.merge.history import MergeHistory

__all__ = ["ActivationBatch", "BatchedActivations", "find_batches"]


class BatchedActivations(Brief):
    """All `batch_*.pt` of a folder in numeric order, served round-robin, one in memory at a time.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for b in (0, 1):
        ...         batch = ActivationBatch.from_dense([[b + 1.0]], ["m:0"])
        ...         batch.save(f"{folder}/batch_{b}.pt")
        ...     batches = BatchedActivations(folder)
        ...     batches.n_batches, [float(batches.get_next_batch().maxima[0]) for _ in range(3)]
        (2, [1.0, 2.0, 1.0])

    Args:
        source: a folder of batches, or an ordered list of batch files.
        allow_different_models: accept batches computed from different checkpoints.

    Raises:
        InputError: there are no batches, or they differ in their labels, thresholds or models; the latter is
            found when the second batch, or the statistics of all, are read.

    Attributes:
        paths: the files.
        labels: names of the components.
        threshold: threshold of the sets of active components if only these are kept; None if values are.
    """

    @checked(
        source=either(file_path, several(file_path, "a folder of batches, or the files of batches")),
        allow_different_models=truth,
    )
    def __init__(
        self, source: str | Path | list[Path] | list[str], *, allow_different_models: bool = False
    ) -> None:
        if isinstance(source, (str, Path)):
            self.paths = find_batches(source)
        else:
            self.paths = [Path(path) for path in source]
        if not self.paths:
            raise InputError("no batches given", field="source", allowed="at least one batch_<b>.pt")
        self._allow_different_models = allow_different_models
        self._of_known_model: list[tuple[str, Mapping[str, str]]] = []
        self._next = 0
        self._stats: tuple[np.ndarray, np.ndarray] | None = None
        self._digests: list[str] = []
        self._made_from: list[dict[str, str]] = []
        self._stored: tuple[int, StoredBatch] | None = None
        self._only: ActivationBatch | None = None
        first = self._open(0)
        self.labels: Labels = first.labels
        self.threshold: float | None = first.threshold

    def _facts(self) -> dict[str, object]:
        return {
            "batches": self.n_batches,
            "components": len(self.labels),
            "folder": str(self.paths[0].parent),
        }

    @property
    def n_batches(self) -> int:
        """Number of batches."""
        return len(self.paths)

    def get_next_batch(self) -> ActivationBatch:
        """Return the next batch, wrapping around after the last one.

        Raises:
            InputError: the batch cannot be read.
        """
        if self._only is not None:
            return self._only
        stored = self.get_next_stored()
        batch = ActivationBatch.from_stored(stored)
        # of several batches, only one is in memory at a time
        if self.n_batches == 1:
            self._only = batch
        return batch

    def get_next_stored(self) -> StoredBatch:
        """Return the next batch in turn, with its entries still on disk.

        Raises:
            InputError: the batch cannot be read.
        """
        number = self._next
        self._next = (number + 1) % self.n_batches
        return self._open(number)

    def rewind(self) -> None:
        """Make batch 0 the next one, as functions that are given a source do before they read it."""
        self._next = 0

    def component_stats(
        self,
    ) -> tuple[Float[np.ndarray, "batches components"], Float[np.ndarray, "batches components"]]:
        """Return every component's maximum and mean in every batch, without reading the activations.

        Raises:
            InputError: a batch cannot be read or has different labels.
        """
        if self._stats is None:
            maxima, means, self._digests, self._made_from = [], [], [], []
            for path in self.paths:
                arrays, texts = read_head(path)
                self._check_labels(path, texts.get("labels", "").split("\n"))
                self._check_threshold(path, stored_threshold(arrays, texts, path))
                self._check_model(path, stored_provenance(texts))
                for name in ("shape", "maxima", "means"):
                    if name not in arrays:
                        raise InputError("member missing", file=path, field=name, allowed=ALLOWED)
                if stored_shape(arrays, path)[1] != len(self.labels):
                    raise InputError(
                        "one label per component is needed",
                        file=path,
                        field="labels",
                        found=f"{len(self.labels)} labels for {len(arrays['maxima'])} components",
                    )
                maxima.append(np.array(arrays["maxima"]))
                means.append(np.array(arrays["means"]))
                self._digests.append(texts.get("checksum", ""))
                self._made_from.append({"seed": texts.get("seed", ""), **stored_provenance(texts)})
            self._stats = np.stack(maxima), np.stack(means)
        return self._stats

    @property
    def digests(self) -> list[str]:
        """The checksum of every batch, in order."""
        self.component_stats()
        return self._digests

    @property
    def made_from(self) -> list[dict[str, str]]:
        """The seed and provenance of every batch, in order."""
        self.component_stats()
        return self._made_from

    def _open(self, number: int) -> StoredBatch:
        if self._stored is not None and self._stored[0] == number:
            return self._stored[1]
        path = self.paths[number]
        stored = StoredBatch.open(path)
        if hasattr(self, "labels"):
            self._check_labels(path, stored.labels)
            self._check_threshold(path, stored.threshold)
        self._check_model(path, stored.provenance)
        self._stored = (number, stored)
        return stored

    def _check_model(self, path: Path, provenance: Mapping[str, str]) -> None:
        record = (f"{path.parent.name}/{path.name}", provenance)
        # batches without a record of their model are accepted next to those of one model
        if not self._of_known_model and model_digests(provenance):
            self._of_known_model = [record]
        records = [*self._of_known_model, record]
        check_one_model(records, subject="batches", allowed=self._allow_different_models, file=path)

    def _check_labels(self, path: Path, labels: Labels) -> None:
        if labels != self.labels:
            raise InputError(
                "labels differ from those of the first batch",
                file=path,
                field="labels",
                found=f"{len(labels)} labels",
                allowed=f"the {len(self.labels)} labels of {self.paths[0]}",
            )

    def _check_threshold(self, path: Path, threshold: float | None) -> None:
        if threshold != self.threshold:
            raise InputError(
                "threshold differs from that of the first batch",
                file=path,
                field=THRESHOLD,
                found="values" if threshold is None else threshold,
                allowed=f"{'values' if self.threshold is None else self.threshold}, as in {self.paths[0]}",
            )


def find_batches(folder: str | Path) -> list[Path]:
    """Return the `batch_<b>.pt` files of a folder in numeric order.

    Example:
        >>> for number in range(11):
        ...     (folder / f"batch_{number}.pt").touch()
        >>> [path.name for path in find_batches(folder)][-2:]
        ['batch_9.pt', 'batch_10.pt']

    Raises:
        InputError: the folder does not exist or has no batches, or numbers are duplicated or missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("no such folder", file=folder, allowed="a folder with batch_<b>.pt files")
    numbered: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if match := re.fullmatch(r"batch_(\d+)\.pt", path.name):
            same = numbered.setdefault(int(match[1]), path)
            if same is not path:
                raise InputError(
                    "two files of one batch", file=path, found=f"also {same.name}", allowed="one of the two"
                )
    if not numbered:
        raise InputError("no batches in this folder", file=folder, allowed="files named batch_<b>.pt")
    first, last = min(numbered), max(numbered)
    if first > 1 or last - first + 1 != len(numbered):
        missing = next(n for n in range(min(first, 1), last) if n not in numbered)
        raise InputError(
            "a batch is missing",
            file=folder,
            found=f"{len(numbered)} batches up to batch_{last}.pt, and no batch_{missing}.pt",
            allowed="numbers without gaps, from 0 or 1",
        )
    return [numbered[number] for number in sorted(numbered)]


def merged_batches(history: MergeHistory, source: str | Path | Sequence[str | Path]) -> BatchedActivations:
    """Return the batches of a history: the first ones of a folder that other merges may share.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.files.histories import load_merge_history
        >>> ensemble = write_example_ensemble(folder)
        >>> merged_batches(load_merge_history(ensemble.history(0)), ensemble.batches(0)).n_batches
        1

    Args:
        history: the run. If it records no digests, all batches are used, unverified.
        source: the folder of the run's batches, or the files in order.

    Raises:
        InputError: a batch is missing or damaged, or is not the one that was merged.
    """
    known = history.provenance.get("batches")
    files = find_batches(source) if isinstance(source, str | Path) else list(map(Path, source))
    # different models were accepted when the run was merged
    insisted = history.provenance.get(INSIST) is True
    batches = BatchedActivations(files[: len(known)] if known else files, allow_different_models=insisted)
    if known is not None and list(known) != batches.digests:
        raise InputError(
            "not the batches of this history",
            file=source if isinstance(source, str | Path) else files[0].parent,
            found=f"digests {_brief(batches.digests)}",
            allowed=f"{_brief(known)}, as in the history; or merge these batches again",
        )
    return batches


def _brief(digests: Sequence[str]) -> str:
    shown = ", ".join(digest[:8] for digest in digests[:3])
    return f"{shown}, … ({len(digests)} batches)" if len(digests) > 3 else shown


def kept_batches(ensemble: EnsembleFolder, histories: Sequence[str | Path]) -> list[Path] | None:
    """Return the batch folders of an ensemble's runs, or None if those of any run are missing.

    Example:
        >>> import shutil
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> ensemble = write_example_ensemble(folder)
        >>> histories = [ensemble.history(0), ensemble.history(1)]
        >>> [path.name for path in kept_batches(ensemble, histories)]
        ['run_0', 'run_1']
        >>> shutil.rmtree(ensemble.batches(1))
        >>> kept_batches(ensemble, histories) is None
        True
    """
    folders = [ensemble.batches(run_number(Path(history))) for history in histories]
    return folders if all(any(folder.glob("batch_*.pt")) for folder in folders) else None
