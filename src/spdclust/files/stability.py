"""The files of a stability analysis, of an ensemble or of the points of a sweep.

Readers must not import numba, as the analysis does: what writers need is imported when they write.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import parse_json
from spdclust.core.types import Labels
from spdclust.files.archive import PARTS, Member, csr_of_parts, read_archive, read_arrays, write_archive
from spdclust.files.ensemble_folder import STABILITY_FILES, SWEEP_FILES
from spdclust.files.records import StabilityRecord, SweepRecord, read_record
from spdclust.files.tables import load_columns, save_columns, save_rows

if TYPE_CHECKING:
    from spdclust.partitions.normalized import NormalizedHistories
    from spdclust.stability.analysis import Stability


def save_stability(
    normalized: "NormalizedHistories",
    stability: "Stability",
    folder: str | Path,
    *,
    stride: int = 1,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the files of `STABILITY_FILES` into a folder.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> normalized = example_normalized()
        >>> save_stability(normalized, analyze_stability(normalized), folder)
        >>> sorted(path.name for path in folder.iterdir())[:2]
        ['stability.json', 'stability_coclustering.npz']

    Raises:
        InputError: a file cannot be written.
    """
    from spdclust.stability.analysis import SIZE_COLUMNS
    from spdclust.stability.summary import component_rows, group_rows, iteration_table, stability_record

    path = {key: Path(folder) / name for key, name in STABILITY_FILES.items()}
    save_columns(iteration_table(normalized, stability), path["iterations"])
    save_rows(stability.sizes.to_rows(), ["iteration", "merges", "run", *SIZE_COLUMNS], path["sizes"])
    save_rows(
        component_rows(normalized, stability),
        ["cut", "component", "consensus_group", "partners", "contestedness", "consistency"],
        path["components"],
    )
    groups = [
        group | {"members": json.dumps(group["members"], ensure_ascii=False)}
        for group in group_rows(normalized, stability)
    ]
    save_rows(groups, ["cut", "group", "size", "support", "members"], path["groups"])
    _save_coclustering(normalized, stability, path["coclustering"])
    record = stability_record(normalized, stability, stride=stride, seed=seed)
    record |= {} if provenance is None else {"provenance": dict(provenance)}
    write_text(path["record"], json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def save_sweep(record: Mapping[str, Any], folder: str | Path) -> None:
    """Write the files of `SWEEP_FILES` into a folder.

    Example:
        >>> record = {"swept": ["alpha"], "points": [{"name": "a", "values": {"alpha": 1}, "n_runs": 2}]}
        >>> record["distances"] = {"jaccard_dist": {"runs": [[0.1]]}}
        >>> save_sweep(record, folder)
        >>> Path(folder, SWEEP_FILES["points"]).read_text().split()
        ['name,alpha,n_runs', 'a,1,2']

    Raises:
        InputError: a file cannot be written.
    """
    from spdclust.stability.sweeps import distance_rows, point_rows

    folder = Path(folder)
    for key, (columns, rows) in (("points", point_rows(record)), ("distances", distance_rows(record))):
        save_rows(rows, columns, folder / SWEEP_FILES[key])
    write_text(folder / SWEEP_FILES["record"], json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _save_coclustering(normalized: "NormalizedHistories", stability: "Stability", path: str | Path) -> None:
    """Write `stability_coclustering.npz`: the co-clustering frequencies at each cut.

    A cut with more pairs than `MAX_STORED_PAIRS` is omitted and marked by `<cut>.left_out`.

    Raises:
        InputError: the file cannot be written.
    """
    from spdclust.stability.coclustering import coclustering_frequency
    from spdclust.stability.cut import groups_at

    members: dict[str, Member] = {"labels.npy": np.array(normalized.labels)}
    for name, at in stability.cuts.items():
        try:
            frequency = coclustering_frequency(groups_at(normalized, at.cut))
        except InputError as error:
            members[f"{name}.left_out.npy"] = np.array(str(error))
            continue
        parts = (frequency.data, frequency.indices, frequency.indptr, np.array(frequency.shape))
        members |= {f"{name}.{part}.npy": array for part, array in zip(PARTS, parts, strict=True)}
    write_archive(path, members)


NEEDED_COLUMNS = ("iteration", "n_distinct", "null.n_distinct")
"""Columns of `stability_iterations.csv` that do not depend on the methods."""

_LONGEST_CELL = 1 << 28  # all members of a group are in one cell


def load_stability_record(path: str | Path) -> dict[str, Any]:
    """Read `stability.json`.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> results = write_example_ensemble(folder).folder
        >>> load_stability_record(results / "stability.json")["cuts"]["least_mdl"]["n_consensus_groups"]
        4

    Raises:
        InputError: the file does not exist or is not a stability record.
    """
    return read_record(StabilityRecord, path, "stability.json")


def load_stability_iterations(path: str | Path) -> dict[str, np.ndarray]:
    """Read `stability_iterations.csv` by columns, see `iteration_table`.

    Example:
        >>> path = folder / "stability_iterations.csv"
        >>> _ = path.write_text("iteration,n_distinct,null.n_distinct\\n0,1,2\\n1,2,2")
        >>> load_stability_iterations(path)["n_distinct"].tolist()
        [1.0, 2.0]

    Raises:
        InputError: the file does not exist, is not a table of numbers, or lacks a required column.
    """
    return load_columns(path, NEEDED_COLUMNS)


@dataclass(frozen=True)
class CutComponent:
    """One component at one cut, a row of `stability_components.csv`.

    Attributes:
        consensus_group: number of its consensus group.
        contestedness: mean number of group partners that differ between two runs.
    """

    label: str
    consensus_group: int
    contestedness: float


def load_components(path: str | Path) -> dict[str, list[CutComponent]]:
    """Read `stability_components.csv`: the components at each cut, most contested first.

    Example:
        >>> path = folder / "stability_components.csv"
        >>> lines = ["cut,component,consensus_group,contestedness", "least_mdl,a:0,3,0.5"]
        >>> _ = path.write_text("\\n".join(lines))
        >>> load_components(path)
        {'least_mdl': [CutComponent(label='a:0', consensus_group=3, contestedness=0.5)]}

    Raises:
        InputError: no such file, or not that table.
    """
    found: dict[str, list[CutComponent]] = {}
    for row in _rows(path, ("cut", "component", "consensus_group", "contestedness")):
        component = CutComponent(
            row["component"],
            _number(int, row, "consensus_group", path),
            _number(float, row, "contestedness", path),
        )
        found.setdefault(row["cut"], []).append(component)
    return found


def load_groups(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Read `stability_groups.csv` without members: `group`, `size` and `support` at each cut, largest first.

    Example:
        >>> path = folder / "stability_groups.csv"
        >>> _ = path.write_text("cut,group,size,support\\nleast_mdl,0,3,0.9")
        >>> load_groups(path)
        {'least_mdl': [{'group': 0, 'size': 3, 'support': 0.9}]}

    Raises:
        InputError: no such file, or not that table.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(path, ("cut", "group", "size", "support")):
        group = {
            "group": _number(int, row, "group", path),
            "size": _number(int, row, "size", path),
            "support": _number(float, row, "support", path),
        }
        found.setdefault(row["cut"], []).append(group)
    return found


def load_group_members(path: str | Path) -> dict[str, list[Labels]]:
    """Read the members of the groups in `stability_groups.csv`: a list of labels per group, largest first.

    Example:
        >>> path = folder / "stability_groups.csv"
        >>> row = 'least_mdl,0,2,1.0,"[""a cat:0"", ""b:1""]"'
        >>> _ = path.write_text(f"cut,group,size,support,members\\n{row}")
        >>> load_group_members(path)
        {'least_mdl': [['a cat:0', 'b:1']]}

    Args:
        path: the table. Files of earlier versions, with labels separated by spaces, are read if no label
            contains a space.

    Raises:
        InputError: no such file, not that table, or the members cannot be distinguished.
    """
    found: dict[str, list[Labels]] = {}
    for row in _rows(path, ("cut", "size", "members")):
        members = _members(row["members"])
        size = _number(int, row, "size", path)
        if len(members) != size:
            raise InputError(
                "members cannot be distinguished",
                file=path,
                field="members",
                found=row["members"],
                allowed=f"a JSON list of {size} labels; run spdclust stability again",
            )
        found.setdefault(row["cut"], []).append(members)
    return found


def _members(cell: str) -> Labels:
    try:
        members = parse_json(cell)
    except (ValueError, RecursionError):
        return cell.split(" ")
    is_list = isinstance(members, list) and all(isinstance(label, str) for label in members)
    return members if is_list else cell.split(" ")


def load_coclustering(path: str | Path, cut: str) -> sparse.csr_array:
    """Read the share of runs in which two components are together at one cut, for pairs with a share above 0.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> results = write_example_ensemble(folder).folder
        >>> share = load_coclustering(results / "stability_coclustering.npz", "least_mdl")
        >>> share.nnz, float(share.min()), float(share.max())  # three pairs in each of four groups
        (12, 0.0, 1.0)

    Returns:
        `(components, components)` upper triangle (`i < j`), float64; the file's `labels` name both axes.

    Raises:
        InputError: the file does not exist, is damaged, or does not contain the cut.
    """
    names = [f"{cut}.{part}.npy" for part in PARTS]
    read = read_archive(path, arrays=names, kind="co-clustering file")
    return csr_of_parts([read[name] for name in names], path, cut)


def load_coclusterings(
    path: str | Path,
) -> tuple[Labels, dict[str, sparse.csr_array | None]]:
    """Read `stability_coclustering.npz`: the labels, and the co-clustering frequencies at each cut.

    Example:
        >>> import numpy as np
        >>> from spdclust.files.archive import write_archive
        >>> left_out = {"least_mdl.left_out.npy": np.array("too many pairs")}
        >>> left_out["labels.npy"] = np.array(["a", "b"])
        >>> write_archive(f"{folder}/stability_coclustering.npz", left_out)
        >>> load_coclusterings(f"{folder}/stability_coclustering.npz")
        (['a', 'b'], {'least_mdl': None})

    Returns:
        The labels, and per cut the `(components, components)` share of runs, upper triangle; None for cuts
        that were omitted.

    Raises:
        InputError: no such file, damaged, or a part of a cut is missing.
    """
    read = read_arrays(path, kind="co-clustering file")
    if "labels" not in read:
        raise InputError("member missing", file=path, field="labels", allowed="a co-clustering file")
    found: dict[str, sparse.csr_array | None] = {}
    for cut in sorted({name.rpartition(".")[0] for name in read} - {""}):
        if f"{cut}.left_out" in read:
            found[cut] = None
            continue
        missing = [name for part in PARTS if (name := f"{cut}.{part}") not in read]
        if missing:
            raise InputError("member missing", file=path, field=missing[0], allowed="a co-clustering file")
        found[cut] = csr_of_parts([read[f"{cut}.{part}"] for part in PARTS], path, cut)
    return [str(label) for label in read["labels"]], found


def load_sweep(path: str | Path) -> dict[str, Any]:
    """Read `sweep.json`.

    Example:
        >>> _ = (folder / "sweep.json").write_text('{"swept": [], "points": [], "distances": {}}')
        >>> load_sweep(f"{folder}/sweep.json")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...sweep.json: points: ...

    Raises:
        InputError: the file does not exist or is not the comparison of a sweep.
    """
    return read_record(SweepRecord, path, "sweep.json")


def _rows(path: str | Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", file=path, allowed="a table of the stability analysis")
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError("not a table", file=path, found=str(error), allowed="a .csv table") from error
    finally:
        csv.field_size_limit(before)
    for row in rows:
        if any(row.get(column) is None for column in columns):
            raise InputError("columns missing", file=path, found=list(row), allowed=", ".join(columns))
    return rows


def _number(kind: type, row: dict[str, str], column: str, path: str | Path) -> Any:
    try:
        return kind(row[column])
    except ValueError as error:
        raise InputError(
            "not a number", file=path, field=column, found=row[column], allowed=kind.__name__
        ) from error
