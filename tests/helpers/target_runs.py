"""Run folders with random weights, and slow computations in float64 to compare a model with."""

import math

import numpy as np
import torch
import yaml

RANDOM = torch.Generator().manual_seed(0)


def random_state(**shapes):
    return {name: torch.randn(shape, generator=RANDOM) * 0.4 for name, shape in shapes.items()}


def components(weights, modules, c=3, hidden=5):
    """Return components and `mlp` functions for some modules of a state dict, by the names in checkpoints."""
    state = {}
    for name in modules:
        d_out, d_in = weights[f"{name}.weight"].shape
        if "wte" in name:
            d_out, d_in = d_in, d_out
        key = name.replace(".", "-")
        state |= random_state(
            **{
                f"_components.{key}.V": (d_in, c),
                f"_components.{key}.U": (c, d_out),
                f"_ci_fns.{key}.layers.0.W": (c, 1, hidden),
                f"_ci_fns.{key}.layers.0.b": (c, hidden),
                f"_ci_fns.{key}.layers.2.W": (c, hidden, 1),
                f"_ci_fns.{key}.layers.2.b": (c, 1),
            }
        )
        if f"{name}.bias" in weights and "wte" not in name:
            state[f"_components.{key}.bias"] = weights[f"{name}.bias"]
    return state


def write_run(folder, weights, modules, model_class, task, **config):
    """Write a run folder as the reference implementation does."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {f"target_model.{name}": tensor for name, tensor in weights.items()}
    torch.save(state | components(weights, modules), folder / "model_10.pth")
    settings = {
        "module_info": [{"module_pattern": name, "C": 3} for name in modules],
        "ci_fn_type": "mlp",
        "ci_fn_hidden_dims": [5],
        "sigmoid_type": "normal",
        "pretrained_model_class": model_class,
        "pretrained_model_path": None,
        "pretrained_model_name": None,
        "pretrained_model_output_attr": None,
        "task_config": {"task_name": task, "feature_probability": 0.1, "max_seq_len": 6},
    }
    (folder / "final_config.yaml").write_text(yaml.safe_dump(settings | config))
    return folder


def importances(folder, module, taken_in):
    """Return what the `mlp` function of a written run gives for rows of what a module takes in."""
    state = torch.load(folder / "model_10.pth", weights_only=True)
    key = module.replace(".", "-")
    get = {name: state[f"_ci_fns.{key}.layers.{name}"].double() for name in ("0.W", "0.b", "2.W", "2.b")}
    v = state[f"_components.{key}.V"].double()
    activations = torch.as_tensor(taken_in).double() @ v
    out = torch.empty(activations.shape, dtype=torch.float64)
    for c in range(v.shape[1]):
        hidden = activations[..., c, None] * get["0.W"][c, 0] + get["0.b"][c]
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
        out[..., c] = hidden @ get["2.W"][c, :, 0] + get["2.b"][c, 0]
    return torch.sigmoid(out).numpy()


def assert_close(found, expected):
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=2e-5, rtol=2e-5)


def arrays(weights):
    return {name: tensor.double().numpy() for name, tensor in weights.items()}


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def causal(q, k, v):
    """Return attention of each row of one head to itself and those before it."""
    out = np.zeros((len(q), v.shape[1]))
    for i in range(len(q)):
        scores = np.array([q[i] @ k[j] / math.sqrt(q.shape[1]) for j in range(i + 1)])
        shares = np.exp(scores - scores.max())
        out[i] = shares / shares.sum() @ v[: i + 1]
    return out
