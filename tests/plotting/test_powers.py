"""Powers of ten at logarithmic axes are text, the same numbers as matplotlib's formulas."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from spdclust.plotting import style
from spdclust.plotting.style import new_figure, styled

RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


@styled
def drawn(scale, low, high, **how):
    figure, (axes,) = new_figure()
    axes.set_xscale(scale, **how)
    axes.set_xlim(low, high)
    return figure


def labels(figure):
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return {tick.get_loc(): text for tick in ticks if (text := tick.label1.get_text())}


@pytest.mark.parametrize(
    ("scale", "low", "high", "how"),
    [
        ("log", 1e-7, 1e7, {}),
        ("log", 2e-6, 9e-6, {}),  # minor ticks have labels
        ("symlog", -1e6, 1e6, {"linthresh": 1.0}),
        ("asinh", -1e-6, 1e-6, {"linear_width": 1e-9}),
    ],
)
def test_every_label_is_text_that_names_its_tick(scale, low, high, how):
    found = labels(drawn(scale, low, high, **how))
    assert len(found) > 2
    for place, text in found.items():
        assert not set(text) & set("$\\{}^")
        factor, _, power = text.replace("−", "-").rpartition("10")
        value = (
            float(text.replace("−", "-"))
            if not set(text) & set("⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
            else ({"": 1.0, "-": -1.0}.get(factor) or float(factor.rstrip("×")))
            * 10.0 ** int(power.translate(RAISED))
        )
        np.testing.assert_allclose(value, place, rtol=1e-9)
    assert any("10" in text for text in found.values())


def test_a_colour_bar_has_powers_as_text():
    @styled
    def with_bar():
        figure = Figure()
        axes = figure.subplots()
        image = axes.imshow([[1e-6, 1.0]], norm="log")
        figure.colorbar(image, ax=axes)
        return figure

    figure = with_bar()
    figure.draw_without_rendering()
    texts = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert "10⁻⁵" in texts
    assert "$" not in "".join(texts)


def test_a_font_without_raised_digits_keeps_the_formula(monkeypatch):
    monkeypatch.setattr(style, "_has_glyph", str.isascii)
    assert style._power_as_text(r"$\mathdefault{10^{-5}}$") == r"$\mathdefault{10^{-5}}$"
