"""One line, and one small table in notebooks, for objects that hold too much to be printed."""

import html
from collections.abc import Mapping


class Brief:
    """An object that prints a few facts about itself instead of all that it holds.

    Dataclasses that derive from it need `repr=False`.

    Example:
        >>> class Shelf(Brief):
        ...     def _facts(self):
        ...         return {"books": 12000, "language": "English"}
        >>> Shelf()
        <Shelf books=12000 language='English'>
        >>> Shelf()._repr_html_()
        '<table><caption>Shelf</caption><tr><th>books</th><td>12000</td></tr><tr><th>language</th><td>English</td></tr></table>'
    """

    def _facts(self) -> Mapping[str, object]:
        """Return what is printed, each of a few characters; nothing that takes long to compute."""
        raise NotImplementedError

    def __repr__(self) -> str:
        facts = "".join(f" {name}={value!r}" for name, value in self._facts().items())
        return f"<{type(self).__name__}{facts}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table><caption>{type(self).__name__}</caption>{rows}</table>"
