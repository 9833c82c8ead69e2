"""What is wrong with the texts of a figure as it is drawn: cut off by the canvas, on top of each other, unreadable."""

import itertools
import re
from unittest import mock

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

_TOLERANCE = 1.5
"""Points that texts may reach over the edge or into each other: extents include the space around letters."""


def faulty_texts(figure: Figure) -> list[str]:
    """Return a line for each text that is cut off, that lies on another, or that is a tick like 2×10⁰."""
    drawn = drawn_texts(figure)
    boxes = [_box(text) for text in drawn]
    width, height = figure.bbox.width, figure.bbox.height
    slack = _TOLERANCE * figure.dpi / 72
    faults = []
    for text, corners in zip(drawn, boxes, strict=True):
        low, high = corners.min(axis=0), corners.max(axis=0)
        if (low < -slack).any() or (high > np.array([width, height]) + slack).any():
            faults.append(f"cut off: {text.get_text()!r}")
        if re.search(r"\\times10\^\{-?[0-3]\}", text.get_text()):
            faults.append(f"tick: {text.get_text()!r}")
    for (one, first), (other, second) in itertools.combinations(zip(drawn, boxes, strict=True), 2):
        if _overlap(first, second, slack):
            faults.append(f"overlap: {one.get_text()!r} and {other.get_text()!r}")
    return faults


def drawn_texts(figure: Figure) -> list[Text]:
    """Return the texts that a drawing of the figure really draws, ticks outside the view not among them."""
    drawn: list[Text] = []
    draw = Text.draw

    def record(text, renderer, *args, **kwargs):
        if text.get_visible() and text.get_text().strip():
            drawn.append(text)
        return draw(text, renderer, *args, **kwargs)

    with mock.patch.object(Text, "draw", record):
        figure.draw_without_rendering()
    return drawn


def _box(text: Text) -> np.ndarray:
    """Return the corners of the rectangle around a text, which a rotated text turns with it."""
    around = text.get_window_extent()
    centre = np.array([(around.x0 + around.x1) / 2, (around.y0 + around.y1) / 2])
    angle = text.get_rotation()
    if angle % 90 == 0:
        width, height = around.width, around.height
        turn = np.eye(2)
    else:
        text.set_rotation(0)
        upright = text.get_window_extent()
        text.set_rotation(angle)
        width, height = upright.width, upright.height
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        turn = np.array([[cos, sin], [-sin, cos]])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array([width, height]) / 2
    return centre + corners @ turn


def _overlap(first: np.ndarray, second: np.ndarray, slack: float) -> bool:
    """Return whether two rectangles share more than a strip: no side of either separates them."""
    for corners in (first, second):
        for side in (corners[1] - corners[0], corners[2] - corners[1]):
            length = np.linalg.norm(side)
            if length == 0:
                return False
            one, other = first @ side / length, second @ side / length
            if min(one.max(), other.max()) - max(one.min(), other.min()) <= slack:
                return False
    return True
