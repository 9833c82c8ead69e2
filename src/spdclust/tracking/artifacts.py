"""Group assignments of a merge at saved iterations: the file inside the W&B artifact `<run id>-groups`."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int, Labels
from spdclust.files.archive import ArrayRows, Member, digest_of, read_archive, write_archive
from spdclust.merge.history import GroupMerge, MergeHistory

FILE_NAME = "group_assignments.npz"
_ARRAYS = ("iterations", "group_idxs", "k_groups", "selected_pairs", "costs", "time")


@dataclass(frozen=True)
class GroupAssignments:
    """The grouping after some of the merges of one run.

    Attributes:
        labels: names of the components.
        iterations: `(saved,)` saved iterations.
        group_idxs: `(saved, components)` group of each component after each of them.
        k_groups: `(saved,)` number of groups.
        selected_pairs: `(saved, 2)` groups merged, in the numbering before the merge.
        costs: `(saved,)` cost of that merge, bits per sample.
        time: `(saved,)` seconds since the merge began, NaN if unknown.
        configuration: digest of the settings of the merge.
    """

    labels: Labels
    iterations: Int[np.ndarray, " saved"]
    group_idxs: Int[np.ndarray, "saved components"]
    k_groups: Int[np.ndarray, " saved"]
    selected_pairs: Int[np.ndarray, "saved 2"]
    costs: Float[np.ndarray, " saved"]
    time: Float[np.ndarray, " saved"]
    configuration: str

    def at(self, iteration: int) -> GroupMerge:
        """Return the grouping after one of the saved merges.

        Raises:
            InputError: this iteration was not saved.
        """
        saved = self.iterations.tolist()
        if iteration not in saved:
            some = ", ".join(map(str, saved[:8])) + (", …" if len(saved) > 8 else "")
            raise InputError("not saved", field="iteration", found=iteration, allowed=some)
        return GroupMerge(self.group_idxs[saved.index(iteration)], self.labels)


def save_group_assignments(
    history: MergeHistory,
    iterations: Int[np.ndarray, " saved"],
    path: str | Path,
    seconds: Float[np.ndarray, " iterations"] | None = None,
) -> None:
    """Write the grouping after some merges; the bytes are reproducible, except for the times.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> save_group_assignments(example_history(), np.array([0, 7]), f"{folder}/{FILE_NAME}")
        >>> load_group_assignments(folder).k_groups.tolist()
        [11, 4]

    Raises:
        InputError: the file cannot be written, or there is no such iteration.
    """
    saved = np.asarray(iterations, dtype=np.int64)
    elapsed = np.full(history.n_iterations, np.nan) if seconds is None else np.cumsum(seconds)
    rows = (history.group_idxs(iteration) for iteration in saved.tolist())
    members: dict[str, Member] = {
        "iterations.npy": saved,
        "group_idxs.npy": ArrayRows((len(saved), history.n_components), np.int32, rows),
        "k_groups.npy": np.asarray(history.k_groups[saved], dtype=np.int64),
        "selected_pairs.npy": np.asarray(history.selected_pairs[saved], dtype=np.int64),
        "costs.npy": np.asarray(history.merge_pair_cost[saved], dtype=np.float64),
        "time.npy": np.asarray(elapsed[saved], dtype=np.float64),
        "labels.npy": np.array(json.dumps(history.labels)),
        "configuration.npy": np.array(configuration_digest(history)),
    }
    write_archive(path, members)


def configuration_digest(history: MergeHistory) -> str:
    """Return a digest of the settings of a merge.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> configuration_digest(example_history(0)) == configuration_digest(example_history(1))
        True
    """
    return digest_of(history.config.resolved())[:16]


def load_group_assignments(path: str | Path) -> GroupAssignments:
    """Read group assignments, from the file or from the folder of a downloaded W&B artifact.

    From W&B, `folder = wandb.Api().artifact("<entity>/<project>/<run id>-groups:final").download()` first.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> save_group_assignments(example_history(), np.array([0, 7]), f"{folder}/{FILE_NAME}")
        >>> load_group_assignments(folder).at(7).members(0)
        ['attn:0', 'attn:1', 'mlp:0']

    Raises:
        InputError: no such file, damaged, or not group assignments.
    """
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    names = [f"{name}.npy" for name in (*_ARRAYS, "labels", "configuration")]
    read = read_archive(file, arrays=names, kind="file of group assignments")
    arrays = {name: read[f"{name}.npy"] for name in _ARRAYS}
    try:
        labels = [str(label) for label in json.loads(str(read["labels.npy"]))]
    except ValueError as error:
        raise InputError(
            "not a list of labels", file=file, field="labels", allowed=f"a {FILE_NAME} of a W&B artifact"
        ) from error
    axes = {"group_idxs": (len(labels),), "selected_pairs": (2,)}
    for name, array in arrays.items():
        shape = (arrays["iterations"].size, *axes.get(name, ()))
        if array.shape != shape:
            raise InputError("wrong shape", file=file, field=name, found=array.shape, allowed=str(shape))
    return GroupAssignments(labels, **arrays, configuration=str(read["configuration.npy"]))
