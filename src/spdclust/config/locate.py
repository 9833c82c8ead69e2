"""Resolve the paths in a run's settings relative to the settings file, or else to the working folder."""

from pathlib import Path

from spdclust.config.run import ClusteringRunConfig


def beside(run: ClusteringRunConfig, file: str | Path) -> ClusteringRunConfig:
    """Return a run's settings, with relative paths resolved against the settings file where they exist.

    All other paths are unchanged and relative to the working folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (Path(folder) / "mlp").mkdir()
        ...     found = beside(ClusteringRunConfig(model_path="mlp"), f"{folder}/run.yaml")
        ...     found.model_path == f"{folder}/mlp"
        True
        >>> beside(ClusteringRunConfig(model_path="resources/resid_mlp1"), "run.yaml").model_path
        'resources/resid_mlp1'

    Args:
        run: the settings.
        file: the run file, or the pipeline file that contains the settings.
    """
    folder = Path(file).parent

    def located(path: str | None) -> str | None:
        if path is None or Path(path).is_absolute() or path.startswith("~") or folder == Path():
            return path
        return str(folder / path) if (folder / path).exists() else path

    found = {name: located(getattr(run, name)) for name in ("model_path", "precomputed_activations_dir")}
    data = {name: located(getattr(run.dataset, name)) for name in ("name", "tokenizer")}
    return run.model_copy(update=found | {"dataset": run.dataset.model_copy(update=data)})
