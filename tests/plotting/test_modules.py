"""Modules on the axes of figures: a line between any two, in the order of the components."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from spdclust.plotting.matrices import draw_modules, order_by_module


@pytest.mark.parametrize(("x", "y"), [(True, True), (True, False), (False, True)])
def test_a_line_is_drawn_between_any_two_modules_and_nowhere_else(x, y):
    axes = Figure().subplots()
    modules = order_by_module(["attn:0", "mlp:0", "attn:1", "out:0", "attn:2"])
    assert modules.edges.tolist() == [0, 3, 4, 5]
    draw_modules(axes, modules, x=x, y=y)
    lines = [np.array(lines.get_segments()) for lines in axes.collections]
    assert len(lines) == x + y
    if x:
        assert lines[0][:, :, 0].tolist() == [[3, 3], [4, 4]]
    if y:
        assert lines[-1][:, :, 1].tolist() == [[3, 3], [4, 4]]
