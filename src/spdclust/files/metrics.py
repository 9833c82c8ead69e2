"""Per-iteration values of one merge as a table: `metrics.csv`."""

from pathlib import Path

import numpy as np

from spdclust.files.tables import save_columns
from spdclust.merge.history import MergeHistory


def metrics_table(history: MergeHistory) -> dict[str, np.ndarray]:
    """Return the per-iteration values of a history by name, each `(iterations,)`; `merges` were made by then.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> history = MergeHistory(
        ...     ["a:0", "a:1"], np.array([[0, 1]]), np.array([2.5]), np.array([-1.0]), MergeConfig()
        ... )
        >>> {name: column.tolist() for name, column in metrics_table(history).items()}
        {'iteration': [0], 'merges': [1], 'k_groups': [1], 'mdl_loss': [2.5], 'merge_pair_cost': [-1.0],
         'group_0': [0], 'group_1': [1]}
    """
    return {
        "iteration": np.arange(history.n_iterations),
        "merges": np.arange(history.n_iterations) + 1,
        "k_groups": history.k_groups,
        "mdl_loss": history.mdl_loss,
        "merge_pair_cost": history.merge_pair_cost,
        "group_0": history.selected_pairs[:, 0],
        "group_1": history.selected_pairs[:, 1],
        **{name: record for name, record in sorted(history.records.items()) if record.ndim == 1},
    }


def save_metrics(history: MergeHistory, path: str | Path) -> None:
    """Write `metrics.csv`: one row per iteration; costs and description lengths in bits per sample.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import example_history
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_metrics(example_history(), f"{folder}/metrics.csv")
        ...     lines = Path(folder, "metrics.csv").read_text().splitlines()
        >>> len(lines), lines[0].split(",")[:3]
        (12, ['iteration', 'merges', 'k_groups'])

    Raises:
        InputError: the file cannot be written.
    """
    save_columns(metrics_table(history), path)
