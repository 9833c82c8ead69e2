"""Settings of the figures: how large they are drawn."""

from pydantic import Field

from spdclust.config.base import Section


class FigureConfig(Section):
    """Size of every figure; a change makes figures due and nothing else.

    Example:
        >>> FigureConfig(dpi=300).scale
        1.0
    """

    dpi: int = Field(default=150, ge=30, le=1200)
    """Pixels per inch, of the pictures inside a `.pdf` too."""
    scale: float = Field(default=1.0, ge=0.25, le=4.0)
    """Factor on width and height; texts keep their size."""
