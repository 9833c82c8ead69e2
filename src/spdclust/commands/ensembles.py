"""Subcommands on whole ensembles: distances, stability, assignments, mappings; comparison of several."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from spdclust.commands.subcommands import AddCommand, add_moment, add_threads, count, iteration_given
from spdclust.core.errors import InputError
from spdclust.core.names import METHODS

if TYPE_CHECKING:
    from spdclust.config.pipeline import Comparison


_ENSEMBLE = "folder with runs/run_<r>/history.zip"


def add_commands(command: AddCommand) -> None:
    """Add `distances`, `stability`, `explorer`, `mapping`, `merge-array` and `compare`.

    Example:
        >>> from spdclust.commands.subcommands import subcommand_adder
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_commands(subcommand_adder(parser))
        >>> options = parser.parse_args(["mapping", "results/resid_mlp1/demo", "--run", "3"])
        >>> options.run, options.cut, options.viewer
        (3, 'least_mdl', 'run')
        >>> options = parser.parse_args(["compare", "mlp/alpha~1", "mlp/alpha~2", "--output", "mlp/sweep"])
        >>> [folder.name for folder in options.ensembles], options.output.name
        (['alpha~1', 'alpha~2'], 'sweep')
    """
    distances = command(
        "distances",
        _distances,
        "Compute the distances between the runs of an ensemble.",
        "spdclust distances results/resid_mlp1/demo --method matching_dist",
        "spdclust distances results/resid_mlp1/demo --method jaccard_dist --stride 10 --output every_10th",
    )
    distances.add_argument("ensemble", type=Path, help=_ENSEMBLE)
    distances.add_argument(
        "--method", required=True, nargs="+", help=f"which distances, in one pass: {', '.join(METHODS)}"
    )
    distances.add_argument(
        "--output", type=Path, help="folder for distances_<method>.npz (default: the ensemble's)"
    )
    _add_sharing(distances)

    stability = command(
        "stability",
        _stability,
        "Say what the runs of an ensemble agree on, along the merge and at cuts.",
        "spdclust stability results/resid_mlp1/demo",
        "spdclust stability results/resid_mlp1/demo --n-groups 80 --output at_80",
    )
    stability.add_argument("ensemble", type=Path, help=_ENSEMBLE)
    stability.add_argument(
        "--method", nargs="+", help="which distances (default: those of the pipeline, perm_invariant_hamming)"
    )
    add_moment(stability, "also cut every run")
    stability.add_argument("--n-groups", type=count, help="also cut every run at this number of groups")
    stability.add_argument(
        "--output", type=Path, help="folder for stability.json, tables and figures (default: the ensemble's)"
    )
    _add_sharing(stability)

    explorer = command(
        "explorer",
        _explorer,
        "Write one page to explore an ensemble, from what is in its folder.",
        "spdclust explorer results/resid_mlp1/demo",
    )
    explorer.add_argument("ensemble", type=Path, help=_ENSEMBLE)
    explorer.add_argument("--model", help="the decomposed model (default: from clustering_run_config.json)")
    explorer.add_argument("--output", type=Path, help="file (default: explorer.html in the folder)")

    mapping = command(
        "mapping",
        _mapping,
        "Write which component is in which group, as the viewer of the reference implementation reads it.",
        "spdclust mapping results/resid_mlp1/demo                  # the consensus, shortest description",
        "spdclust mapping results/resid_mlp1/demo --cut stability_drop --notes 'all runs agree'",
        "spdclust mapping results/resid_mlp1/demo --run 3 --cut merges_50",
        "spdclust mapping history_0.zip --model wandb:goodfire/spd/runs/s-62fce8c4 --cut groups_40",
    )
    mapping.add_argument("source", type=Path, help=_ENSEMBLE + ", or a history.zip")
    mapping.add_argument("--run", type=count, help="one run of the ensemble (default: the consensus of all)")
    mapping.add_argument(
        "--cut",
        default="least_mdl",
        help="least_mdl (default), stability_drop (consensus only), merges_<n> or groups_<k>",
    )
    mapping.add_argument("--notes", default="", help="free text, kept in the file")
    mapping.add_argument("--model", help="the decomposed model (default: from clustering_run_config.json)")
    mapping.add_argument(
        "--viewer",
        choices=["run", "ensemble", "param-decomp"],
        default="run",
        help="keys of the viewer of runs (default), of the older one of ensembles, or of param-decomp's",
    )
    mapping.add_argument(
        "--output", type=Path, help="file (default: cluster_mapping_<of>_<cut>.json in the folder)"
    )

    array = command(
        "merge-array",
        _merge_array,
        "Write the group of every component after every merge of every run, whatever its size.",
        "spdclust merge-array results/resid_mlp1/demo",
    )
    array.add_argument("ensemble", type=Path, help=_ENSEMBLE)
    array.add_argument("--output", type=Path, help="file (default: ensemble_merge_array.npz in the folder)")

    compare = command(
        "compare",
        _compare,
        "Compare the points of a sweep: groups, stability, distances between them.",
        "spdclust compare results/resid_mlp1/sweep-alpha~* --output results/resid_mlp1/sweep",
    )
    compare.add_argument(
        "ensembles", type=Path, nargs="+", help="folders with runs/run_<r>/history.zip and stability.json"
    )
    compare.add_argument(
        "--output", type=Path, required=True, help="folder for sweep.json, tables and figures"
    )


def _add_sharing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stride",
        type=count,
        help="only every n-th iteration (default: distances_stride of the pipeline, otherwise 1)",
    )
    add_threads(parser)


def _comparison(options: argparse.Namespace) -> "Comparison":
    from spdclust.files.ensemble_folder import EnsembleFolder

    return EnsembleFolder(options.ensemble).comparison()


def _overwrites(options: argparse.Namespace) -> bool:
    """Return whether the output replaces files that the workflow wrote."""
    from spdclust.files.ensemble_folder import PIPELINE_CONFIG

    folder: Path = options.ensemble
    same = options.output is None or options.output.resolve() == folder.resolve()
    return same and (folder / PIPELINE_CONFIG).is_file()


def _stride(options: argparse.Namespace, *, by_workflow: bool = True) -> int:
    """Return the given stride, or that of the pipeline; files written by the workflow keep theirs.

    Raises:
        InputError: another stride would replace files of the workflow.
    """
    usual = _comparison(options).distances_stride
    stride: int = usual if options.stride is None else options.stride
    if stride != usual and by_workflow and _overwrites(options):
        raise _other_settings(options, "--stride", stride, usual)
    return stride


def _other_settings(options: argparse.Namespace, field: str, found: object, usual: object) -> InputError:
    return InputError(
        "would replace files of the workflow by others",
        file=options.ensemble,
        field=field,
        found=found,
        allowed=f"{usual}, as in pipeline_config.yaml, or --output with another folder",
    )


def _distances(options: argparse.Namespace) -> None:
    from spdclust.core.names import check_methods
    from spdclust.core.threads import available_threads
    from spdclust.files.ensemble_folder import EnsembleFolder
    from spdclust.stages.distances import distances

    methods = check_methods(options.method)
    usual = _comparison(options).distances_methods
    stride = _stride(options, by_workflow=not set(methods).isdisjoint(usual))
    ensemble = EnsembleFolder(options.output or options.ensemble)
    paths = {method: ensemble.distance_file(method) for method in methods}
    distances(options.ensemble, paths, stride=stride, threads=options.threads or available_threads())
    print("\n".join(f"wrote {path}" for path in paths.values()))


def _stability(options: argparse.Namespace) -> None:
    from spdclust.core.names import check_methods
    from spdclust.core.threads import available_threads
    from spdclust.files.ensemble_folder import STABILITY_FILES
    from spdclust.files.stability import load_stability_record
    from spdclust.files.summaries import stability_lines
    from spdclust.stability.summary import summarize_stability
    from spdclust.stages.results import draw_all_figures
    from spdclust.stages.stability import stability

    usual = _comparison(options).distances_methods
    methods = check_methods(options.method or usual)
    if _overwrites(options) and set(methods) != set(usual):
        raise _other_settings(options, "--method", " ".join(methods), " ".join(usual))
    stride = _stride(options)
    folder = options.output or options.ensemble
    stability(
        options.ensemble,
        methods,
        folder,
        stride=stride,
        threads=options.threads or available_threads(),
        iteration=iteration_given(options),
        n_groups=options.n_groups,
    )
    record, iterations = (folder / STABILITY_FILES[key] for key in ("record", "iterations"))
    inputs = {"stability": record, "stability_iterations": iterations}
    draw_all_figures("plot_stability", inputs, folder / "plots")
    print("\n".join(stability_lines(summarize_stability(load_stability_record(record)))))
    print(f"wrote {record}, tables next to it, and figures in {folder / 'plots'}")


def _explorer(options: argparse.Namespace) -> None:
    from spdclust.stages.explorer import explorer, files_of

    folder: Path = options.ensemble
    path = options.output or folder / "explorer.html"
    model = (recorded_model(folder) or "") if options.model is None else options.model
    explorer(folder, path, ensemble=_name_of(folder), model=model, **files_of(folder))
    print(f"wrote {path}; open it in a browser")


def _mapping(options: argparse.Namespace) -> None:
    from spdclust.files.ensemble_folder import EnsembleFolder, find_histories, find_history
    from spdclust.stages.stability import map_consensus, map_run

    single = options.source.is_file()
    folder: Path = options.source.parent if single else options.source
    run = options.run
    if not single:
        find_histories(folder)  # before what is missing for another reason
    if single and run is not None:
        raise InputError("a single history has no other runs", field="--run", found=run, allowed="no --run")
    of = "consensus" if run is None else f"run_{run}"
    of = options.source.stem if single else of
    path = options.output or folder / f"cluster_mapping_{of}_{options.cut}.json"
    model = recorded_model(folder) if options.model is None else options.model
    if model is None:
        raise _no_model(folder)
    names = {"ensemble": _name_of(folder), "model": model, "notes": options.notes, "viewer": options.viewer}
    if single:
        map_run(options.source, options.cut, path, **names)
    elif run is not None:
        map_run(find_history(folder, run), options.cut, path, run=run, **names)
    else:
        stride = EnsembleFolder(folder).comparison().distances_stride
        map_consensus(folder, options.cut, path, stride=stride, **names)
    print(f"wrote {path}")


def model_of(folder: Path) -> str:
    """Return the decomposed model of an ensemble, as given in its `clustering_run_config.json`.

    Example:
        >>> settings = '{"model_path": "resources/resid_mlp1"}'
        >>> _ = (folder / "clustering_run_config.json").write_text(settings)
        >>> model_of(folder)
        'resources/resid_mlp1'

    Raises:
        InputError: the folder does not name a model, or its activations are user-supplied.
    """
    from spdclust.files.ensemble_folder import RUN_CONFIG

    model = recorded_model(folder)
    if model == "":
        raise InputError("no model: its activations are user-supplied", file=folder)
    if model is None:
        raise InputError(
            "no model given", file=folder, allowed=f"a {RUN_CONFIG} with a model_path in the folder"
        )
    return model


def recorded_model(folder: Path) -> str | None:
    """Return the model in the `clustering_run_config.json` of an ensemble; empty if its activations are
    user-supplied, None if there is no such file.

    Example:
        >>> before = recorded_model(folder)
        >>> settings = '{"precomputed_activations_dir": "my_latents"}'
        >>> _ = (folder / "clustering_run_config.json").write_text(settings)
        >>> before, recorded_model(folder)
        (None, '')

    Raises:
        InputError: the file cannot be read.
    """
    from spdclust.config.load import load_config
    from spdclust.config.run import ClusteringRunConfig
    from spdclust.files.ensemble_folder import RUN_CONFIG

    file = folder / RUN_CONFIG
    return str(load_config(ClusteringRunConfig, file).model_source or "") if file.is_file() else None


def _no_model(folder: Path) -> InputError:
    from spdclust.files.ensemble_folder import RUN_CONFIG

    return InputError(
        "no model given",
        file=folder,
        field="--model",
        allowed=f"--model, or a {RUN_CONFIG} with a model_path in the folder",
    )


def _name_of(folder: Path) -> str:
    from spdclust.files.ensemble_folder import EnsembleFolder

    return EnsembleFolder(folder).name


def _merge_array(options: argparse.Namespace) -> None:
    from spdclust.files.ensemble_folder import MERGE_ARRAY
    from spdclust.files.ensembles import load_normalized, save_merge_array

    path = options.output or options.ensemble / MERGE_ARRAY
    normalized = load_normalized(options.ensemble)
    save_merge_array(normalized, path, limit=None)
    print(f"wrote {path} ({normalized.merge_array_bytes} bytes)")


def _compare(options: argparse.Namespace) -> None:
    from spdclust.files.ensemble_folder import GROUPS, STABILITY_FILES, SWEEP_FILES
    from spdclust.files.summaries import format_sweeps
    from spdclust.stages.ensemble_records import PointFiles, compare_points
    from spdclust.stages.results import draw_all_figures

    names = [folder.resolve().name for folder in options.ensembles]
    if len(set(names)) < len(names):
        names = [folder.as_posix() for folder in options.ensembles]
    points = []
    for name, folder in zip(names, options.ensembles, strict=True):
        groups = folder / GROUPS["record"]
        record = folder / STABILITY_FILES["record"]
        known = groups if groups.is_file() else None
        points.append(PointFiles(name, _point_of(folder, name), folder, record, known))
    compare_points(points, options.output)
    draw_all_figures(
        "plot_sweep", {"sweep": options.output / SWEEP_FILES["record"]}, options.output / "plots"
    )
    print(format_sweeps([options.output]))


def _point_of(folder: Path, name: str) -> dict[str, object]:
    """Return the swept settings of an ensemble and their values, or its name if none are recorded."""
    from spdclust.config.load import read_mapping

    file = folder / "pipeline_config.yaml"
    point = read_mapping(file).get("sweep_point") if file.is_file() else None
    return dict(point) if point else {"ensemble": name}
