"""Trees over components in Newick, the text format of tree viewers."""

from collections.abc import Mapping, Sequence

import numpy as np

from spdclust.groups.found import EvidenceTree, FoundGroups


def newick(found: FoundGroups) -> str:
    """Return the tree that the groups were chosen from, with the evidence for each node as a comment.

    Labels are quoted, so any label is allowed. The length of a branch is the difference in height of its two
    ends; components have height 0. A comment holds `bits` and `bits_se` if the node was a candidate, and
    `group` if it was chosen: `[&bits=0.5,bits_se=0.01,group=3]`, in the format of FigTree. Without a tree (no
    batches), each group is one node below the root, with its number.

    Example:
        >>> from spdclust.example_ensemble import example_found
        >>> newick(example_found())[2:91]
        "((('attn:0':0.1,'attn:1':0.1):0.1,'mlp:0':0.2)[&bits=0.5,bits_se=0.02,group=0]:0.8,(('att"

    Args:
        found: the groups, and the tree if there is one.
    """
    if found.tree is None:
        groups = [found.member_idxs(group).tolist() for group in range(found.n_groups)]
        return _written(found.labels, groups, [f"[&group={group}]" for group in range(len(groups))])
    tree, n = found.tree, len(found.labels)
    heights = [0.0] * n + tree.height.tolist()
    lengths: dict[int, str] = {}
    leaf = list(range(n))  # a component below each node
    for row, parts in enumerate(tree.children.tolist()):
        leaf.append(leaf[parts[0]])
        # rounding of averages may place a parent lower in the last digit
        lengths |= {part: f":{round(max(0.0, heights[n + row] - heights[part]), 9)!r}" for part in parts}
    comments = [
        _comment(tree, row, int(found.group_idxs[leaf[n + row]])) for row in range(len(tree.children))
    ]
    return _written(found.labels, tree.children.tolist(), comments, lengths)


def _comment(tree: EvidenceTree, row: int, group: int) -> str:
    values = {"bits": float(tree.bits[row]), "bits_se": float(tree.bits_se[row])}
    parts = [f"{name}={value!r}" for name, value in values.items() if np.isfinite(value)]
    parts += [f"group={group}"] if tree.chosen[row] else []
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
