"""What a merge history says, in words."""

from collections import Counter

from spdclust.merge.history import MergeHistory


def describe_history(history: MergeHistory) -> str:
    """Return a few lines on a history: components, merges, the grouping with the least description length.

    Example:
        >>> import numpy as np
        >>> from spdclust.config.merge import MergeConfig
        >>> history = MergeHistory(
        ...     ["a:0", "a:1", "b:0"], np.array([[0, 1]]), np.array([2.5]), np.array([-1.0]), MergeConfig()
        ... )
        >>> print(describe_history(history))
        3 components (2 in a, 1 in b), 1 merge, 2 groups at the end
        least description length: 2.5 bits per sample after merge 0, with 2 groups: 2, 1 components
    """
    modules = Counter(label.rpartition(":")[0] for label in history.labels)
    spread = ", ".join(f"{count} in {module}" for module, count in modules.items())
    n_left = history.n_components - history.n_iterations
    merges = "1 merge" if history.n_iterations == 1 else f"{history.n_iterations} merges"
    lines = [f"{history.n_components} components ({spread}), {merges}, {n_left} groups at the end"]
    if history.n_iterations:
        best = history.best_iteration()
        sizes = sorted(history.at(best).sizes().tolist(), reverse=True)
        shown = ", ".join(map(str, sizes[:10])) + (", …" if len(sizes) > 10 else "")
        lines.append(
            f"least description length: {history.mdl_loss[best]:.6g} bits per sample after merge {best}, "
            f"with {len(sizes)} groups: {shown} components"
        )
    return "\n".join(lines)
