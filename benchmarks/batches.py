"""Time, memory and disk of writing batches from a large language model, beside the bare forward pass.

    python benchmarks/batches.py --components 13000 --tokens 100000 --active 100
    python benchmarks/batches.py --model resources/lm_llama2L/run --data texts.jsonl --tokens 16384

*forward* draws the same inputs and computes model and causal-importance functions, whose results are dropped;
*values* and *sets* (keep_values: false) also write the batch. Seconds are of the CPU; on one thread they do
not depend much on what else runs; the least of three. The ratio is to *forward*.

The weights are random; the biases of the causal-importance functions are set so that the wanted number of
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
    options.add_argument("--model", type=Path, help="a checkpoint of your own instead")
    options.add_argument("--data", type=Path, help="texts for --model, a jsonl file")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--child", choices=list(PARTS))
    options.add_argument("--folder", type=Path)
    given = options.parse_args()
    if given.child:
        torch.set_num_threads(given.threads)
        print(json.dumps(PARTS[given.child](given)))
        return
    with tempfile.TemporaryDirectory(dir=Path("results") if Path("results").is_dir() else None) as folder:
        given.folder = Path(folder)
        if given.model is None:
            make_checkpoint(given)
        bare = None
        print(f"{'part':8} {'CPU s':>7} {'ratio':>6} {'wall s':>7} {'peak GB':>8}")
        for part in PARTS:
            command = [sys.executable, __file__, "--child", part, "--folder", folder]
            for name in ("components", "tokens", "threads", "model", "data", "per_sequence"):
                if getattr(given, name) is not None:
                    command += [f"--{name.replace('_', '-')}", str(getattr(given, name))]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            row = json.loads(done.stdout.strip().split("\n")[-1])
            bare = bare or row["cpu"]
            numbers = f"{row['cpu']:7.2f} {row['cpu'] / bare:6.2f} {row['wall']:7.1f} {row['peak_gb']:8.2f}"
            print(f"{part:8} {numbers}   {row['said']}", flush=True)


def make_checkpoint(given: argparse.Namespace) -> None:
    """Write a decomposition with a causal-importance function for every matrix of a Llama-style model."""
    width, hidden = getattr(given, "width", WIDTH), getattr(given, "hidden", HIDDEN)
    from spdclust.models import load_model
    from spdclust.models.checkpoint import COMPONENTS, LAYERWISE, TARGET, resolve_checkpoint
    from spdclust.models.modules import find_modules
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


def config_of(given: argparse.Namespace, **settings):
    from spdclust.config.run import ClusteringRunConfig

    if given.model is None:
        data = {"name": str(given.folder / "tokens.jsonl"), "column": "ids", "is_tokenized": True}
    else:
        data = {"name": str(given.data)} if given.data else {}
    return ClusteringRunConfig.model_validate({
        "model_path": str(given.model or given.folder / "run"), "n_tokens": given.tokens, "batch_size": 128,
        "device": "cpu", "n_tokens_per_seq": given.per_sequence, "dataset": data, **settings,
    })  # fmt: skip


def forward(given: argparse.Namespace) -> dict:
    """Measure the forward pass alone, in the pieces in which batches are sampled."""
    from spdclust.sampling.batch_sampling import load_run_model, open_model_inputs

    config = config_of(given)
    model = load_run_model(config)
    source = open_model_inputs(config, model)

    def run() -> None:
        for chunk in source.draw(0):
            for _ in model.importance_pieces(chunk.inputs, config.causal_importance, chunk.positions):
                pass

    return best_of(run) | {"said": f"{model.n_components} components"}


def write(given: argparse.Namespace, **settings) -> dict:
    """Measure the same with everything that makes a batch of it, the file included."""
    from spdclust.core.code_fingerprint import stage_fingerprint
    from spdclust.sampling.batch_sampling import draw_stored_batch, load_run_model, open_model_inputs

    config = config_of(given, **settings)
    model = load_run_model(config)
    source = open_model_inputs(config, model)
    stage_fingerprint("precompute_batches")  # 0.4 s, once a job
    path = given.folder / ("values" if config.keep_values else "sets") / "batch_0.pt"
    drawn = []

    def run() -> None:
        drawn.clear()
        drawn.append(draw_stored_batch(config, model, source, 0, "benchmark"))
        drawn[0].save(path)

    row = best_of(run)
    active = drawn[0].n_entries / drawn[0].n_samples
    return row | {"said": f"{path.stat().st_size / 1e6:.1f} MB on disk, {active:.1f} on a sample"}


def best_of(run, repeats: int = 3) -> dict:
    """Return the reading of the repetition that took the least CPU time."""
    readings = []
    for _ in range(repeats):
        clock = Clock()
        run()
        readings.append(clock.read(""))
    return min(readings, key=lambda each: each["cpu"]) | {"peak_gb": readings[-1]["peak_gb"]}


def read(given: argparse.Namespace) -> dict:
    from spdclust.files.batches import ActivationBatch

    clock = Clock()
    batch = ActivationBatch.load(given.folder / "values" / "batch_0.pt")
    return clock.read(f"{batch.n_samples} samples, {batch.n_components} components")


PARTS = {
    "forward": forward,
    "values": write,
    "sets": lambda given: write(given, keep_values=False),
    "read": read,
}


class Clock:
    """Wall and CPU seconds since it was made, and the peak of memory of the process."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self, said: str) -> dict:
        # not getrusage: its peak starts from the parent's
        status = Path("/proc/self/status").read_text()
        return {
            "wall": time.perf_counter() - self.wall,
            "cpu": time.process_time() - self.cpu,
            "peak_gb": int(status.split("VmHWM:")[1].split()[0]) / 1e6,
            "said": said,
        }


if __name__ == "__main__":
    main()
