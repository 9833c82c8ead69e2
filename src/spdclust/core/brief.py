"""Short representations of large objects: one line, or a small table in notebooks."""

import html
from collections.abc import Mapping


class Brief:
    """Mixin for objects whose representation is a short summary instead of their full contents.

    Dataclasses that derive from it need `repr=False`.
    """

    def _facts(self) -> Mapping[str, object]:
        """Return the facts to print, each of a few characters and cheap to compute."""
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
