"""The comparison of a sweep's points as flat tables."""

import json
from collections.abc import Mapping
from typing import Any


def point_rows(record: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the points as a flat table, columns and rows, with one column per swept setting.

    Example:
        >>> points = [{"name": f"alpha~{alpha}", "values": {"alpha": alpha}, "n_runs": 4} for alpha in (1, 2)]
        >>> columns, rows = point_rows({"swept": ["alpha"], "points": points})
        >>> columns, rows[1]
        (['name', 'alpha', 'n_runs'], {'name': 'alpha~2', 'alpha': 2, 'n_runs': 4})

    Args:
        record: see `compare_points`.
    """
    rows = [
        {"name": point["name"]}
        | {key: plain(point["values"][key]) for key in record["swept"]}
        | {
            key: "" if value is None else value
            for key, value in point.items()
            if key not in ("name", "values")
        }
        for point in record["points"]
    ]
    return list(rows[0]), rows


def distance_rows(record: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the distances as a flat table, columns and rows, with one row per pair of points and method.

    Example:
        >>> distances = {"jaccard_dist": {"runs": [[0.1, 0.3], [0.3, 0.2]], "same_sample": None}}
        >>> columns, rows = distance_rows({"points": [{"name": "a"}, {"name": "b"}], "distances": distances})
        >>> columns, list(rows[1].values())
        (['first', 'second', 'method', 'runs', 'same_sample'], ['a', 'b', 'jaccard_dist', 0.3, ''])

    Args:
        record: see `compare_points`.
    """
    names = [point["name"] for point in record["points"]]
    rows = [
        {"first": names[i], "second": names[j], "method": method}
        | {kind: "" if matrix is None else matrix[i][j] for kind, matrix in kinds.items()}
        for method, kinds in record["distances"].items()
        for i in range(len(names))
        for j in range(i, len(names))
    ]
    return list(rows[0]), rows


def plain(value: Any) -> str | float | int:
    """Return a swept value as one cell of a table.

    Example:
        >>> plain(0.5), plain(None), plain({"threshold": 0.1})
        (0.5, 'null', '{"threshold": 0.1}')
    """
    simple = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return value if simple else json.dumps(value)
