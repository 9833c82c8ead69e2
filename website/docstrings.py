"""Extension of Griffe, which reads docstrings for the site: `Example:` is a section of doctests."""

import re

import griffe


class Examples(griffe.Extension):
    """Name the section as Griffe knows it; otherwise it is a note whose `>>>` are quotations."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Change the docstring of one class, function, module or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
