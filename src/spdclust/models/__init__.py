"""Decomposed models: from the files of a checkpoint to the causal importances of its components.

Nothing here imports torch before a model is loaded, so that planning a workflow stays fast.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spdclust.models.component_model import ComponentModel, load_model

__all__ = ["ComponentModel", "load_model"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from spdclust.models import component_model

        return getattr(component_model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
