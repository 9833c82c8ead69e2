"""Names of the tensors in a checkpoint: prefixes, and the current names of old keys."""

TARGET = "target_model."
COMPONENTS = "_components."
LAYERWISE = "_ci_fns."
GLOBAL = "_global_ci_fn."


def current_name(key: str) -> str:
    """Return the current name of a tensor in a checkpoint.

    Example:
        >>> current_name("patched_model.h.0.mlp.original.weight")
        'target_model.h.0.mlp.weight'
        >>> current_name("patched_model.h.0.mlp.components.V")
        '_components.h-0-mlp.V'
        >>> current_name("_gates.h-0-mlp.layers.0.W"), current_name("ci_fn._ci_fns.h-0-mlp.layers.0.W")
        ('_ci_fns.h-0-mlp.layers.0.W', '_ci_fns.h-0-mlp.layers.0.W')
        >>> current_name("ci_fn._global_ci_fn.layers.0.b")
        '_global_ci_fn.layers.0.b'
    """
    if key.startswith("_gates."):
        key = LAYERWISE + key.removeprefix("_gates.")
    if key.startswith(("ci_fn._ci_fns.", "ci_fn._global_ci_fn.")):
        key = key.removeprefix("ci_fn.")
    if key.startswith("patched_model."):
        key = TARGET + key.removeprefix("patched_model.")
    if key.startswith(TARGET):
        for name in ("weight", "bias"):
            if key.endswith(f".original.{name}"):
                key = key.removesuffix(f".original.{name}") + f".{name}"
        for name in ("U", "V"):
            if key.endswith(f".components.{name}"):
                path = key.removeprefix(TARGET).removesuffix(f".components.{name}")
                key = f"{COMPONENTS}{path.replace('.', '-')}.{name}"
    return key
