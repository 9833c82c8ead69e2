"""Files of the groups: `groups.json`, `groups.csv`, `groups.nwk` and the mapping for the viewer."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error
from spdclust.files.ensemble_folder import GROUPS
from spdclust.files.records import GroupsRecord, read_record
from spdclust.files.reference import cluster_mapping, mapping_record, save_mapping
from spdclust.files.tables import save_rows
from spdclust.groups.found import COLUMNS, EvidenceTree, FoundGroups, SharedMembers, group_name
from spdclust.merge.activations import check_labels

FORMAT = "spdclust groups"
FORMAT_VERSION = 1
NO_ITERATION = -1
"""Value of `iteration` in the mapping: the groups are not the state after a single merge."""

_ALLOWED = "a groups.json"
_COUNTS = ("size", "runs_exact", "active_members")


def save_groups(
    found: FoundGroups,
    folder: str | Path,
    *,
    ensemble: str,
    model: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write `groups.json`, `groups.csv`, `groups.nwk` and `cluster_mapping_groups.json` into a folder.

    Example:
        >>> from spdclust.example_ensemble import example_found
        >>> save_groups(example_found(), folder, ensemble="example/example")
        >>> sorted(path.name for path in folder.iterdir())
        ['cluster_mapping_groups.json', 'groups.csv', 'groups.json', 'groups.nwk']
        >>> (folder / "groups.csv").read_text().splitlines()[1][:30]
        '0,3,0.5,0.02,1.0,2,0.16,1.0,0.'

    Raises:
        InputError: a file cannot be written.
    """
    paths = {part: Path(folder) / name for part, name in GROUPS.items()}
    record = groups_record(found) | ({} if provenance is None else {"provenance": dict(provenance)})
    cells = [
        {
            **group,
            **{key: json.dumps(group[key], ensure_ascii=False) for key in ("members", "shared_members")},
        }
        for group in record["groups"]
    ]
    mapping = mapping_record(
        cluster_mapping(found.group_idxs, found.labels),
        made_by=f"{ensemble}/groups",
        model=model,
        iteration=NO_ITERATION,
    )
    save_rows(cells, ["group", *COLUMNS, "members", "shared_members", "name"], paths["table"])
    write_text(paths["tree"], _newick(found))
    save_mapping(mapping, paths["mapping"])
    # written last: if it exists, the others do too
    write_text(paths["record"], json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def groups_record(found: FoundGroups) -> dict[str, Any]:
    """Return the contents of `groups.json` as plain JSON types, with None for NaN.

    Example:
        >>> from spdclust.example_ensemble import example_found
        >>> record = groups_record(example_found())
        >>> record["n_groups"], record["expected_false"], record["in_no_group"]
        (3, 0.25, ['attn:5', 'mlp:4', 'mlp:5'])
        >>> record["groups"][0]["members"], record["groups"][0]["bits_saved"]
        (['attn:0', 'attn:1', 'mlp:0'], 0.5)
    """
    shared: dict[int, list[dict[str, Any]]] = {group: [] for group in range(found.n_groups)}
    rows = (found.shared.component, found.shared.group, found.shared.bits, found.shared.share)
    for component, group, bits, share in zip(*(row.tolist() for row in rows), strict=True):
        shared[group].append({"label": found.labels[component], "bits": bits, "share": share})
    columns = {name: found.columns[name].tolist() for name in COLUMNS}
    groups = [
        {
            "group": group,
            "members": found.members(group),
            "shared_members": shared[group],
            **{name: column[group] for name, column in columns.items()},
            "bits_saved_runs": found.bits_saved_runs[group].tolist(),
            "name": group_name(found.members(group)),
        }
        for group in range(found.n_groups)
    ]
    tree = found.tree
    alone = np.flatnonzero(found.group_idxs >= found.n_groups)
    record = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "settings": dict(found.settings),
        "warnings": list(found.warnings),
        "n_components": len(found.labels),
        "n_groups": found.n_groups,
        "n_alone": found.n_alone,
        "expected_false": found.expected_false,
        "null_groups": found.null_groups.tolist(),
        "null_groups_busy": found.null_groups_busy.tolist(),
        "bits": dict(found.bits),
        "cohesion": {name: dict(of) for name, of in found.cohesion.items()},
        "groups": groups,
        "in_no_group": [found.labels[component] for component in alone],
        "labels": found.labels,
        "tree": None
        if tree is None
        else {
            "children": tree.children.tolist(),
            "height": tree.height.tolist(),
            "bits": tree.bits.tolist(),
            "bits_se": tree.bits_se.tolist(),
            "chosen": tree.chosen.astype(int).tolist(),
            "group": [None if group < 0 else group for group in tree.group.tolist()],
        },
    }
    plain: dict[str, Any] = json_types(record)
    return plain


def json_types(value: Any) -> Any:
    """Convert a value to JSON types, with None for NaN.

    Example:
        >>> json_types({"a": np.array([1.0, np.nan])})
        {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): json_types(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_types(each) for each in value]
    if isinstance(value, np.generic | np.ndarray):
        return json_types(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load_groups(path: str | Path) -> FoundGroups:
    """Read `groups.json`.

    Example:
        >>> from spdclust.example_ensemble import example_found
        >>> save_groups(example_found(), folder, ensemble="example/example")
        >>> found = load_groups(f"{folder}/groups.json")
        >>> found.n_groups, found.members(2), float(found.columns["bits_saved_se"][2])
        (3, ['attn:4', 'mlp:2', 'mlp:3'], 0.04)

    Raises:
        InputError: the file does not exist, is damaged, or does not contain the groups of an ensemble.
    """
    path = Path(path)
    path = path / GROUPS["record"] if path.is_dir() else path
    record = read_record(GroupsRecord, path, _ALLOWED)
    with as_input_error("parts are inconsistent", path, _ALLOWED):
        return _found_of(record)


def _found_of(record: Mapping[str, Any]) -> FoundGroups:
    """Return the groups described by a record."""
    labels, groups = list(record["labels"]), record["groups"]
    check_labels(labels, len(labels))
    number = {label: component for component, label in enumerate(labels)}
    group_idxs = np.full(len(labels), -1, dtype=np.int64)
    parts = [group["members"] for group in groups] + [[label] for label in record["in_no_group"]]
    if len(groups) != record["n_groups"] or [group["group"] for group in groups] != list(range(len(groups))):
        raise InputError("groups are not numbered from 0", field="groups", found=len(groups))
    for group, members in enumerate(parts):
        for label in members:
            if label not in number or group_idxs[number[label]] >= 0:
                raise InputError("component unknown or given twice", field="groups", found=label)
            group_idxs[number[label]] = group
    if (group_idxs < 0).any():
        missing = labels[int(np.argmax(group_idxs < 0))]
        raise InputError("component missing", field="groups", found=missing)
    n_runs = len(groups[0]["bits_saved_runs"]) if groups else 0
    saved_in_runs = [_floats(group["bits_saved_runs"]) for group in groups]
    return FoundGroups(
        labels=labels,
        group_idxs=group_idxs,
        columns={name: _column(name, [group[name] for group in groups]) for name in COLUMNS},
        n_groups=len(groups),
        bits={name: math.nan if value is None else float(value) for name, value in record["bits"].items()},
        null_groups=np.array(record["null_groups"], dtype=np.int64),
        null_groups_busy=np.array(record["null_groups_busy"], dtype=np.int64),
        bits_saved_runs=np.stack(saved_in_runs) if groups else np.empty((0, n_runs)),
        shared=_shared(groups, number),
        tree=None if record["tree"] is None else _tree(record["tree"], group_idxs, len(groups)),
        cohesion={
            name: {key: math.nan if value is None else float(value) for key, value in of.items()}
            for name, of in record["cohesion"].items()
        },
        settings=record["settings"],
        warnings=tuple(record["warnings"]),
    )


def _shared(groups: list[dict[str, Any]], number: Mapping[str, int]) -> SharedMembers:
    rows = [
        (number[shared["label"]], group["group"], float(shared["bits"]), float(shared["share"]))
        for group in groups
        for shared in group["shared_members"]
    ]
    rows.sort(key=lambda row: -row[2])
    component, group, bits, share = zip(*rows, strict=True) if rows else ((), (), (), ())
    numbers = np.array(component, dtype=np.int64), np.array(group, dtype=np.int64)
    return SharedMembers(*numbers, np.array(bits, dtype=np.float64), np.array(share, dtype=np.float64))


def _tree(record: Mapping[str, Any], group_idxs: np.ndarray, n_groups: int) -> EvidenceTree:
    n_components = len(group_idxs)
    children = np.array(record["children"], dtype=np.int64).reshape(-1, 2)
    numbers = record.get("group")  # missing in older files
    arrays = [record[name] for name in ("height", "bits", "bits_se", "chosen")]
    lengths = {len(array) for array in [*arrays, *([] if numbers is None else [numbers])]}
    if lengths != {len(children)}:
        raise InputError("arrays differ in length", field="tree", allowed=f"{len(children)} nodes in each")
    before = n_components + np.arange(len(children))[:, None]
    if (children >= before).any() or len(np.unique(children)) < children.size:
        raise InputError("not a tree", field="tree.children", allowed="each node once, before its parent")
    height = np.array(record["height"], dtype=np.float64)
    evidence = _floats(record["bits"]), _floats(record["bits_se"])
    chosen = np.array(record["chosen"], dtype=bool)
    if numbers is None:  # then a group has all components of its node
        leaf = list(range(n_components))  # a component below each node
        for first, _ in children.tolist():
            leaf.append(leaf[first])
        group = np.where(chosen, group_idxs[leaf[n_components:]], -1)
    else:
        group = np.array([-1 if number is None else number for number in numbers], dtype=np.int64)
    if (chosen != (group >= 0)).any() or sorted(group[chosen].tolist()) != list(range(n_groups)):
        raise InputError("nodes and groups do not fit", field="tree.group", allowed="each group at one node")
    return EvidenceTree(children, height, *evidence, group)


def _column(name: str, values: list[Any]) -> np.ndarray:
    if name in _COUNTS and all(isinstance(value, int) for value in values):
        return np.array(values, dtype=np.int64)
    return _floats(values)


def _floats(values: list[Any]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _newick(found: FoundGroups) -> str:
    """Return the tree that the groups were chosen from, with the evidence for each node as a comment.

    Labels are quoted, so any label is allowed. The length of a branch is the difference in height of its two
    ends; components have height 0. A comment holds `bits` and `bits_se` if the node was a candidate, and
    `group` if it was chosen: `[&bits=0.5,bits_se=0.01,group=3]`, in the format of FigTree. Without a tree (no
    batches), each group is one node below the root, with its number.
    """
    if found.tree is None:
        groups = [found.member_idxs(group).tolist() for group in range(found.n_groups)]
        return _written(found.labels, groups, [f"[&group={group}]" for group in range(len(groups))])
    tree, n = found.tree, len(found.labels)
    heights = [0.0] * n + tree.height.tolist()
    lengths: dict[int, str] = {}
    for row, parts in enumerate(tree.children.tolist()):
        # rounding of averages may place a parent lower in the last digit
        lengths |= {part: f":{round(max(0.0, heights[n + row] - heights[part]), 9)!r}" for part in parts}
    comments = [_comment(tree, row) for row in range(len(tree.children))]
    return _written(found.labels, tree.children.tolist(), comments, lengths)


def _comment(tree: EvidenceTree, row: int) -> str:
    values = {"bits": float(tree.bits[row]), "bits_se": float(tree.bits_se[row])}
    parts = [f"{name}={value!r}" for name, value in values.items() if np.isfinite(value)]
    parts += [f"group={tree.group[row]}"] if tree.group[row] >= 0 else []
    return f"[&{','.join(parts)}]" if parts else ""


def _written(
    labels: Sequence[str],
    children: Sequence[Sequence[int]],
    comments: Sequence[str],
    lengths: Mapping[int, str] = {},
) -> str:
    """Return the Newick text, with top-level nodes joined at a root; iterative, because trees may be deep."""
    n = len(labels)
    below = {part for parts in children for part in parts}
    roots = [node for node in range(n + len(children)) if node not in below]
    pieces: list[str] = []
    waiting: list[int | str] = (
        [roots[0]] if len(roots) == 1 else [")", *_between(roots), "("] if roots else []
    )
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            pieces.append(item)
        elif item < n:
            pieces.append("'" + labels[item].replace("'", "''") + "'" + lengths.get(item, ""))
        else:
            closing = f"){comments[item - n]}{lengths.get(item, '')}"
            waiting += [closing, *_between(children[item - n]), "("]
    return "".join(pieces) + ";\n"


def _between(nodes: Sequence[int]) -> list[int | str]:
    """Return the nodes in reverse order, separated by commas."""
    listed: list[int | str] = []
    for node in reversed(nodes):
        listed += [node, ","]
    return listed[:-1]
