"""Where the paths of a run's settings lead: beside the file that names them, else from the working folder."""

from pathlib import Path

from spdclust.config.run import ClusteringRunConfig


def beside(run: ClusteringRunConfig, file: str | Path) -> ClusteringRunConfig:
    """Return a run's settings, each relative path that exists beside the file that names it leading there.

    All other paths stay as they are: they lead from the working folder.

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
        file: the run file, or the pipeline file that holds them.
    """
    folder = Path(file).parent

    def located(path: str | None) -> str | None:
        if path is None or Path(path).is_absolute() or path.startswith("~") or folder == Path():
            return path
        return str(folder / path) if (folder / path).exists() else path

    found = {name: located(getattr(run, name)) for name in ("model_path", "precomputed_activations_dir")}
    data = {name: located(getattr(run.dataset, name)) for name in ("name", "tokenizer")}
    return run.model_copy(update=found | {"dataset": run.dataset.model_copy(update=data)})
