"""Time, memory and disk of writing batches from a large language model made for the purpose.

    python benchmarks/batches.py --components 13000 --tokens 100000 --active 100

Its weights are random; the biases of the causal-importance functions are set so that the wanted number of
components is above 0 on a token. Each part runs in a process of its own, so that peaks of memory are its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import yaml

LAYERS, WIDTH, HIDDEN, VOCABULARY, LENGTH = 4, 128, 64, 512, 128


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--components", type=int, default=13_000)
    options.add_argument("--tokens", type=int, default=100_000)
    options.add_argument("--active", type=int, default=100)
    options.add_argument("--per-sequence", type=int, default=None)
    options.add_argument("--child", choices=["sample", "read"])
    options.add_argument("--folder", type=Path)
    given = options.parse_args()
    if given.child:
        {"sample": sample, "read": read}[given.child](given)
        return
    with tempfile.TemporaryDirectory(dir=Path("results") if Path("results").is_dir() else None) as folder:
        given.folder = Path(folder)
        make_checkpoint(given)
        for part in ("sample", "read"):
            command = [sys.executable, __file__, "--child", part, "--folder", folder]
            command += ["--components", str(given.components), "--tokens", str(given.tokens)]
            command += ["--per-sequence", str(given.per_sequence)] if given.per_sequence else []
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            print(done.stdout.strip().split("\n")[-1])


def make_checkpoint(given: argparse.Namespace) -> None:
    """Write a decomposition with a causal-importance function for every matrix of a Llama-style model."""
    width, hidden = getattr(given, "width", WIDTH), getattr(given, "hidden", HIDDEN)
    from spdclust.models import load_model
    from spdclust.models.checkpoint import resolve_checkpoint
    from spdclust.models.modules import find_modules
    from spdclust.models.state_names import COMPONENTS, LAYERWISE, TARGET
    from spdclust.models.targets import build_target

    run = given.folder / "run"
    run.mkdir()
    sizes = {
        "model_type": "LlamaSimpleMLP",
        "block_size": LENGTH,
        "vocab_size": VOCABULARY,
        "n_ctx": LENGTH,
        "n_layer": LAYERS,
        "n_head": 4,
        "n_key_value_heads": 4,
        "n_embd": width,
        "n_intermediate": 4 * width,
        "mlp_bias": False,
        "attn_bias": False,
        "rotary_adjacent_pairs": False,
        "rotary_dim": width // 4,
        "rotary_base": 10000,
        "use_grouped_query_attention": True,
        "flash_attention": True,
        "rms_norm_eps": 1e-6,
    }
    (run / "model_config.yaml").write_text(yaml.safe_dump(sizes))
    parts = ("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.o_proj", "mlp.c_fc", "mlp.down_proj")
    names = [f"h.{layer}.{part}" for layer in range(LAYERS) for part in parts]
    share, rest = divmod(given.components, len(names))
    config = {
        "module_info": [{"module_pattern": name, "C": share + (i < rest)} for i, name in enumerate(names)],
        "ci_fn_type": "shared_mlp",
        "ci_fn_hidden_dims": [hidden],
        "pretrained_model_class": "spd.pretrain.models.llama_simple_mlp.LlamaSimpleMLP",
        "pretrained_model_name": "model_step_0.pt",
        "pretrained_model_output_attr": "idx_0",
        "task_config": {"task_name": "lm", "max_seq_len": LENGTH, "column_name": "ids"},
    }
    (run / "final_config.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(0)
    (run / "model_1.pth").write_bytes(b"")
    checkpoint = resolve_checkpoint(run)
    target = build_target(checkpoint)
    modules = find_modules(target.module, checkpoint.config)
    state = {
        TARGET + name: torch.randn(t.shape) / t.shape[-1] ** 0.5
        for name, t in target.module.state_dict().items()
    }
    # a normal number is above this one on the wanted share of samples
    level = statistics.NormalDist().inv_cdf(1 - given.active / given.components)
    for module in modules:
        state[f"{COMPONENTS}{module.key}.V"] = torch.randn(module.d_in, module.n_components)
        state[f"{COMPONENTS}{module.key}.U"] = torch.randn(module.n_components, module.d_out)
        prefix = f"{LAYERWISE}{module.key}.layers."
        state[prefix + "0.W"] = torch.randn(module.d_in, hidden) / module.d_in**0.5
        state[prefix + "0.b"] = torch.randn(hidden)
        state[prefix + "2.W"] = torch.randn(hidden, module.n_components)
        state[prefix + "2.b"] = torch.zeros(module.n_components)
    torch.save(state, run / "model_1.pth")
    tokens = torch.randint(0, VOCABULARY, (64, LENGTH))
    dense = torch.from_numpy(_pre_sigmoid(load_model(run, device="cpu"), tokens))
    means, deviations = dense.mean(dim=0), dense.std(dim=0)
    start = 0
    for module in sorted(modules, key=lambda each: names.index(each.name)):
        columns = slice(start, start + module.n_components)
        start += module.n_components
        state[f"{LAYERWISE}{module.key}.layers.2.b"] = -(means + level * deviations)[columns]
    torch.save(state, run / "model_1.pth")
    n_sequences = -(-given.tokens // (given.per_sequence or LENGTH))
    drawn = torch.randint(0, VOCABULARY, (n_sequences, LENGTH)).tolist()
    with (given.folder / "tokens.jsonl").open("w") as stream:
        stream.writelines(json.dumps({"ids": row}) + "\n" for row in drawn)


def _pre_sigmoid(model, tokens):
    model._sigmoids = dict.fromkeys(model._sigmoids, lambda x: x)
    return next(model.activation_chunks(tokens, len(tokens)))


def sample(given: argparse.Namespace) -> None:
    from spdclust.config.run import ClusteringRunConfig
    from spdclust.sampling.precompute import precompute_batches_for_ensemble

    config = ClusteringRunConfig.model_validate({
        "model_path": str(given.folder / "run"), "n_tokens": given.tokens, "batch_size": 128, "device": "cpu",
        "n_tokens_per_seq": given.per_sequence,
        "dataset": {"name": str(given.folder / "tokens.jsonl"), "column": "ids", "is_tokenized": True},
    })  # fmt: skip
    start = time.perf_counter()
    (path,) = precompute_batches_for_ensemble(config, 1, given.folder / "batches")[0]
    _report("sample", start, f"{path.stat().st_size / 1e6:.1f} MB on disk")


def read(given: argparse.Namespace) -> None:
    from spdclust.files.batches import ActivationBatch

    start = time.perf_counter()
    batch = ActivationBatch.load(given.folder / "batches" / "run_0" / "batch_0.pt")
    above = batch.matrix.nnz / batch.n_samples
    _report("read", start, f"{batch.n_samples} samples, {batch.n_components} components, {above:.1f} above 0")


def _report(part: str, start: float, said: str) -> None:
    # not getrusage: its peak starts from the parent's
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1e6
    print(f"{part:7}{time.perf_counter() - start:7.1f} s   {peak:.2f} GB peak   {said}")


if __name__ == "__main__":
    main()
