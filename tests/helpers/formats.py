"""Every format that is read, for the tests of bad files: how a small whole file is made, and how it is read."""

import functools
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from damage import Format, npy_bytes, zip_bytes
from language import TEXTS, TOKENIZER, run_config, write_jsonl
from scipy import sparse

from spdclust.config.load import load_config, read_mapping, validate
from spdclust.config.merge import MergeConfig
from spdclust.config.resolve import WorkflowConfig, resolve_pipeline, resolve_workflow
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.example_ensemble import example_found
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.batches import BatchedActivations
from spdclust.files.ensembles import load_distance_rows, save_distances
from spdclust.files.groups import _newick, load_groups, save_groups
from spdclust.files.histories import load_merge_history, save_merge_history
from spdclust.files.merge_progress import MergeCheckpointFile
from spdclust.files.stability import (
    load_coclustering,
    load_stability_iterations,
    load_stability_record,
    save_stability,
)
from spdclust.files.stored_batch import TokenExamples
from spdclust.files.summaries import format_registry, format_summaries, read_registered, save_summary
from spdclust.merge.history import MergeHistory
from spdclust.models.checkpoint import check_components, read_state_dict, resolve_checkpoint
from spdclust.models.component_model import load_model
from spdclust.partitions.ensemble import MergeHistoryEnsemble, normalize_ensemble
from spdclust.stability.analysis import analyze_stability
from spdclust.stability.summary import stability_record, summarize, summarize_stability
from spdclust.user_files.matrices import read_user_file
from spdclust.user_files.runs import header_of_user_file

DATA = Path(__file__).parents[1] / "data/models"
DENSE = np.array([[0.0, 0.5, 0.0], [1.0, 0.0, 0.0], [0.25, 0.0, 0.75], [0.0, 0.0, 0.0]], dtype=np.float32)
LABELS = ["a:0", "a:1", "b:0"]
LOCATIONS = {
    "locations": torch.from_numpy(np.argwhere(DENSE.reshape(2, 2, 3))).contiguous(),
    "activations": torch.from_numpy(DENSE[DENSE != 0]),
}
TOP_K = dict(zip(("values", "indices"), torch.from_numpy(DENSE).topk(2), strict=True))


def plain(value: Any) -> Any:
    """Return what `==` compares, arrays by type, shape and bytes."""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if sparse.issparse(value):
        return plain([value.shape, value.indptr.astype(int), value.indices.astype(int), value.data])
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# batches


def a_batch(seed: int = 7) -> ActivationBatch:
    batch = ActivationBatch.from_dense(DENSE, LABELS, seed=seed, provenance={"task": "tms", "source": "x"})
    examples = TokenExamples(np.array([[7, 8]]), np.array([[0, 0], [0, 1]]), {7: "a", 8: " b"})
    return ActivationBatch(batch.activations, batch.seed, batch.provenance, examples=examples)


def make_batch(folder: Path) -> Path:
    a_batch().save(folder / "batch_0.pt")
    return folder / "batch_0.pt"


def batch_values(batch: ActivationBatch) -> Any:
    kept = batch.examples
    tokens = None if kept is None else [kept.tokens, kept.samples, dict(kept.vocabulary)]
    return plain(
        [batch.matrix, batch.labels, batch.seed, dict(batch.provenance), batch.maxima, batch.means, tokens]
    )


def make_second_batch(folder: Path) -> Path:
    a_batch().save(folder / "batch_0.pt")
    a_batch(8).save(folder / "batch_1.pt")
    return folder / "batch_1.pt"


def read_statistics(path: Path) -> Any:
    batches = BatchedActivations(path.parent)
    return plain([batches.component_stats(), batches.digests, batches.made_from])


# histories


def a_history(n_components: int = 6, n_merges: int = 4, seed: int = 0) -> MergeHistory:
    rng = np.random.default_rng(seed)
    pairs = [np.sort(rng.choice(n_components - t, 2, replace=False)) for t in range(n_merges)]
    return MergeHistory(
        labels=[f"m:{i}" for i in range(n_components)],
        selected_pairs=np.array(pairs, dtype=np.int64),
        mdl_loss=rng.normal(size=n_merges),
        merge_pair_cost=rng.normal(size=n_merges),
        config=MergeConfig(alpha=2),
        records={"gap_to_best": rng.normal(size=n_merges)},
        provenance={"seed": [0, seed]},
    )


def make_history(folder: Path) -> Path:
    save_merge_history(a_history(), folder / "history.zip")
    return folder / "history.zip"


def make_reference_history(folder: Path) -> Path:
    """Write what the reference implementation's own writer gives: rows that were never filled, no checksum."""
    history = a_history()
    config = {
        "activation_threshold": 0.01, "alpha": 1.0, "iters": 6, "merge_pair_sampling_method": "range",
        "merge_pair_sampling_kwargs": {"threshold": 0.05}, "filter_dead_threshold": 0.001, "module_name_filter": None,
    }  # fmt: skip
    metadata = {
        "merge_config": config,
        "wandb_url": None,
        "c_components": 6,
        "n_iters_current": 4,
        "labels": history.labels,
    }
    rows = np.full((6, 2), -1, dtype=np.int16)
    rows[:4] = history.selected_pairs
    idxs = np.full((6, 6), -1, dtype=np.int16)
    idxs[:4] = [history.group_idxs(t) for t in range(4)]
    members = [
        ("merge.group_idxs.npy", npy_bytes(idxs)),
        ("merge.k_groups.npy", npy_bytes(np.array([5, 4, 3, 2, -1, -1], dtype=np.int16))),
        ("selected_pairs.npy", npy_bytes(rows)),
        ("labels.txt", "\n".join(history.labels).encode()),
        ("metadata.json", json.dumps(metadata, indent=1).encode()),
    ]
    return written(folder / "history.zip", zip_bytes(members, compressed=True))


def read_history(path: Path) -> Any:
    history = load_merge_history(path)
    idxs = history.group_idxs(-1) if history.n_iterations else None
    return plain([history.labels, history.selected_pairs, history.mdl_loss, history.merge_pair_cost,
                  history.config.resolved(), history.records, history.provenance, idxs])  # fmt: skip


# what ensembles have on disk


@functools.cache
def normalized():
    return normalize_ensemble(MergeHistoryEnsemble([a_history(seed=s) for s in range(3)], ["a", "b", "c"]))


def make_distances(folder: Path) -> Path:
    distances = np.arange(3.0)[:, None, None] * (1 - np.eye(2))
    save_distances(distances, folder / "distances_matching_dist.npz", np.array([0, 2, 4]))
    return folder / "distances_matching_dist.npz"


def make_reference_distances(folder: Path) -> Path:
    np.savez_compressed(folder / "distances_matching_dist.npz", distances=np.zeros((3, 2, 2)))
    return folder / "distances_matching_dist.npz"


def read_distances(path: Path) -> Any:
    return plain(load_distance_rows(path))


@functools.cache
def stability():
    return analyze_stability(normalized())


def make_stability(folder: Path) -> Path:
    save_stability(normalized(), stability(), folder)
    return folder / "stability.json"


def read_stability(path: Path) -> Any:
    from spdclust.plotting.stability import plot_agreement, plot_contested

    record = load_stability_record(path)
    summarize_stability(record)
    table = load_stability_iterations(path.with_name("stability_iterations.csv"))
    plot_agreement(record, table)
    plot_contested(record, table)
    return record


def make_stability_table(folder: Path) -> Path:
    make_stability(folder)
    return folder / "stability_iterations.csv"


def read_stability_table(path: Path) -> Any:
    return plain(load_stability_iterations(path))


def make_coclustering(folder: Path) -> Path:
    make_stability(folder)
    return folder / "stability_coclustering.npz"


def read_coclustering(path: Path) -> Any:
    return plain(load_coclustering(path, "least_mdl"))


def make_summary(folder: Path) -> Path:
    histories = [a_history(seed=s) for s in range(3)]
    record = stability_record(normalized(), stability(), stride=1, seed=0)
    save_summary(
        summarize(
            histories, {"matching_dist": np.zeros((4, 3, 3))}, stability=record, groups=example_found()
        ),
        folder / "summary.json",
    )
    return folder / "summary.json"


def read_summary(path: Path) -> Any:
    return format_summaries([path.parent])


def make_groups(folder: Path) -> Path:
    save_groups(example_found(), folder, ensemble="demo/demo")
    return folder / "groups.json"


def read_groups(path: Path) -> Any:
    found = load_groups(path)
    _newick(found)
    return plain([found.labels, found.group_idxs, found.columns, found.bits, found.null_groups])


A_RECORD = {
    "ensemble": "demo/demo", "n_runs": 1, "configuration": "abc", "model": None, "base_seed": 0, "dataset_seed": 0,
    "package_version": "1", "git_commit": None, "git_dirty": None,
    "runs": [{"run": 0, "history": "demo/demo/runs/run_0/history.zip", "digest": "ab" * 32, "n_components": 3,
              "n_merges": 2, "merge_seed": "[0, 0]", "batch_seeds": "[0]", "package_version": "1"}],
}  # fmt: skip


def make_record(folder: Path) -> Path:
    place = folder / "demo" / "demo"
    place.mkdir(parents=True)
    return written(place / "registered.json", json.dumps(A_RECORD))


def read_registry(path: Path) -> Any:
    ensembles = read_registered(path.parents[2])
    if not ensembles:  # a link that leads nowhere is no ensemble
        raise InputError("no such file", file=path)
    return format_registry(ensembles, runs=True) + format_registry(ensembles)


def make_merge_checkpoint(folder: Path) -> Path:
    arrays = {"n_done": np.array(3), "log": np.arange(6.0).reshape(2, 3), "generator": np.array("{}")}
    MergeCheckpointFile(folder / "checkpoint.zip", "these batches").save(arrays)
    return folder / "checkpoint.zip"


def read_merge_checkpoint(path: Path) -> Any:
    from spdclust.core.errors import InputError

    arrays = MergeCheckpointFile(path, "these batches").load()
    if arrays is None:  # what it says is a warning: the merge starts from the beginning
        raise InputError("not used", file=path)
    return plain(dict(sorted(arrays.items())))


# activations of one's own


def read_matrix(path: Path) -> Any:
    from spdclust.core.errors import InputError

    try:
        header = header_of_user_file(path)
        shape = header.n_samples, header.n_components
    except InputError:
        shape = None
    batch = read_user_file(path)
    assert shape is None or shape == batch.matrix.shape, (shape, batch.matrix.shape)
    return batch_values(batch)


def own(name: str, write: Any) -> Any:
    def make(folder: Path) -> Path:
        write(folder / name)
        return folder / name

    return make


def make_snapshot(folder: Path) -> Path:
    sparse.save_npz(folder / "memberships.npz", sparse.csc_matrix(DENSE > 0))
    written(folder / "metadata.json", json.dumps({"n_samples": 4, "labels": LABELS}))
    return folder / "memberships.npz"


def beside_a_matrix(name: str, content: str | bytes) -> Any:
    def make(folder: Path) -> Path:
        np.save(folder / "x.npy", DENSE)
        return written(folder / name, content)

    return make


def write_parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"activations": DENSE.tolist(), "tokens": ["a", "b", "a", "c"]}), path)


def write_safetensors(tensors: dict[str, Any]) -> Any:
    from safetensors.torch import save_file

    return lambda path: save_file(tensors, path)


def make_saved_matrix(folder: Path) -> Path:
    import datasets

    datasets.Dataset.from_dict({"activations": DENSE.tolist(), "tokens": list("abac")}).save_to_disk(
        folder / "saved"
    )
    return next((folder / "saved").glob("*.arrow"))


def make_saved_matrix_state(folder: Path) -> Path:
    return make_saved_matrix(folder).with_name("state.json")


def make_cache(folder: Path) -> Path:
    (folder / "layer").mkdir()
    path = folder / "layer" / "0_2.safetensors"
    write_safetensors({**LOCATIONS, "tokens": torch.arange(4).reshape(2, 2)})(path)
    return path


def read_folder(path: Path) -> Any:
    return read_matrix(path.parent)


def make_snapshot_metadata(folder: Path) -> Path:
    make_snapshot(folder)
    return folder / "metadata.json"


# models


def make_run(folder: Path) -> Path:
    shutil.copytree(DATA / "tms_5-2", folder, dirs_exist_ok=True)
    return folder / "model_8000.pth"


def make_old_weights(folder: Path) -> Path:
    path = make_run(folder)
    state = torch.load(path, weights_only=True)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def read_weights(path: Path) -> Any:
    state = read_state_dict(path)
    model = load_model(path, device="cpu")
    check_components(resolve_checkpoint(path))
    return [plain(state), model.n_components]


def read_run(path: Path) -> Any:
    run = path.parent.parent / "run" if path.name == "model_config.yaml" else path.parent
    return load_model(run, device="cpu").components_per_module


def make_language_run(folder: Path) -> Path:
    whole = Path("resources/lm_llama2L/run").resolve()
    (folder / "run").mkdir()
    for file in whole.iterdir():
        (folder / "run" / file.name).symlink_to(file)
    shutil.copytree("resources/lm_llama2L/target", folder / "target", dirs_exist_ok=True)
    return folder / "target" / "model_config.yaml"


def run_file(name: str) -> Any:
    def make(folder: Path) -> Path:
        make_run(folder)
        return folder / name

    return make


# settings


def make_pipeline(folder: Path) -> Path:
    run = {"model_path": "m", "batch_size": 8, "merge_config": {"alpha": 1.5, "iters": 5}}
    pipeline = {"clustering_run_config": run, "n_runs": 3, "distances_methods": ["matching_dist"],
                "sweep": {"merge_config.alpha": [0.5, 1.0]}}  # fmt: skip
    return written(folder / "demo.yaml", yaml.safe_dump(pipeline))


def read_pipeline(path: Path) -> Any:
    return [
        [each.resolved_pipeline(), each.resolved_run(), each.identity()] for each in resolve_pipeline(path)
    ]


def make_run_settings(folder: Path) -> Path:
    run = {"model_path": "m", "batch_size": 8, "n_tokens": 12, "dataset": {"name": "a/b"}, "dataset_seed": 3,
           "logging_intervals": {"stat": 2}, "merge_config": {"alpha": 1.5, "merge_pair_sampling_kwargs": {"threshold": 0.1}}}  # fmt: skip
    return written(folder / "run.json", json.dumps(run))


def read_run_settings(path: Path) -> Any:
    return load_config(ClusteringRunConfig, path).model_dump()


def make_workflow(folder: Path) -> Path:
    return written(folder / "config.yaml", yaml.safe_dump({"pipelines": [str(make_pipeline(folder))]}))


def read_workflow(path: Path) -> Any:
    config = validate(WorkflowConfig, read_mapping(path), file=path)
    return [ensemble.identity() for ensemble in resolve_workflow(config)]


# text and tokens


def make_texts(folder: Path) -> Path:
    return written(folder / "data.txt", "\n".join(TEXTS))


def make_parquet(folder: Path) -> Path:
    import datasets

    datasets.Dataset.from_dict({"story": TEXTS}).to_parquet(folder / "data.parquet")
    return folder / "data.parquet"


def make_saved(folder: Path) -> Path:
    import datasets

    datasets.Dataset.from_dict({"story": TEXTS}).save_to_disk(folder / "saved")
    return next((folder / "saved").glob("*.arrow"))


def make_saved_state(folder: Path) -> Path:
    make_saved(folder)
    return folder / "saved" / "state.json"


def make_tokens(folder: Path) -> Path:
    rows = [{"input_ids": [(i * j) % 500 for j in range(16)]} for i in range(12)]
    return written(folder / "tokens.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def _language_task() -> Any:
    from spdclust.models.targets import build_target

    return build_target(resolve_checkpoint("resources/lm_llama2L/run")).task


def read_texts(path: Path) -> Any:
    from spdclust.sampling.language import LanguageSource

    place = path.parent if path.suffix == ".arrow" or path.name == "state.json" else path
    column = {"column": "text"} if path.suffix == ".txt" else {}
    config = run_config({"name": str(place), "tokenizer": TOKENIZER, "n_ctx": 16, **column}, n_tokens=64)
    return plain([chunk.inputs for chunk in LanguageSource(_language_task(), config).draw(0)])


def read_tokens(path: Path) -> Any:
    from spdclust.sampling.language import LanguageSource

    config = run_config(
        {"name": str(path), "column": "input_ids", "is_tokenized": True, "n_ctx": 16}, n_tokens=64
    )
    return plain([chunk.inputs for chunk in LanguageSource(_language_task(), config).draw(0)])


def make_tokenizer(folder: Path) -> Path:
    shutil.copytree(TOKENIZER, folder / "tokenizer", dirs_exist_ok=True)
    return folder / "tokenizer" / "tokenizer.json"


def read_tokenizer(path: Path) -> Any:
    from spdclust.sampling.tokens import Tokenizer

    tokenizer = Tokenizer(str(path.parent), 512)
    encoded = tokenizer.encode(TEXTS[:2])
    return encoded, tokenizer.end_of_text, tokenizer.texts(encoded[0][:4])


def _zipped_batch(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("activations.npy", "w") as stream:
            np.save(stream, DENSE)
        archive.writestr("labels.txt", "\n".join(LABELS))


def _saved_tensor(value: Any) -> Any:
    return lambda path: torch.save(value, path)


FORMATS: dict[str, Format] = {
    "batch_<b>.pt": Format(make_batch, lambda p: batch_values(ActivationBatch.load(p)), "zip", verified=True),
    "batch_<b>.pt, statistics": Format(make_second_batch, read_statistics, "zip", verified=True),
    "history.zip": Format(make_history, read_history, "zip", verified=True),
    "history.zip, reference": Format(make_reference_history, read_history, "zip", verified=True),
    "distances_<method>.npz": Format(make_distances, read_distances, "zip", verified=True),
    "distances_<method>.npz, reference": Format(make_reference_distances, read_distances, "zip", verified=True),
    "stability.json": Format(make_stability, read_stability, "json"),
    "stability_iterations.csv": Format(make_stability_table, read_stability_table),
    "stability_coclustering.npz": Format(make_coclustering, read_coclustering, "zip", verified=True),
    "summary.json": Format(make_summary, read_summary, "json"),
    "groups.json": Format(make_groups, read_groups, "json"),
    "registered.json": Format(make_record, read_registry, "json"),
    "merge checkpoint": Format(make_merge_checkpoint, read_merge_checkpoint, "zip", verified=True),
    "own .npy": Format(own("x.npy", lambda p: np.save(p, DENSE)), read_matrix),
    "own .npz, dense": Format(own("x.npz", lambda p: np.savez_compressed(p, activations=DENSE, labels=np.array(LABELS))), read_matrix, "zip", verified=True),
    "own .npz, scipy": Format(own("x.npz", lambda p: sparse.save_npz(p, sparse.csr_array(DENSE))), read_matrix, "zip", verified=True),
    "own .npz, scipy dia": Format(own("x.npz", lambda p: sparse.save_npz(p, sparse.dia_array(DENSE))), read_matrix, "zip", verified=True),
    "own .pt, dense": Format(own("x.pt", _saved_tensor({"activations": torch.from_numpy(DENSE), "labels": LABELS})), read_matrix, "zip", verified=True),
    "own .pt, sparse": Format(own("x.pt", _saved_tensor(torch.from_numpy(DENSE).to_sparse())), read_matrix, "zip", verified=True),
    "own .pt, CSR": Format(own("x.pt", _saved_tensor(torch.from_numpy(DENSE).to_sparse_csr())), read_matrix, "zip", verified=True),
    "batch_<b>.zip": Format(own("batch_0.zip", _zipped_batch), read_matrix, "zip", verified=True),
    "own .npz, scipy of 3 axes": Format(own("x.npz", lambda p: sparse.save_npz(p, sparse.coo_array(DENSE.reshape(2, 2, 3)))), read_matrix, "zip", verified=True),
    "own .npz, top-k": Format(own("x.npz", lambda p: np.savez(p, **TOP_K)), read_matrix, "zip", verified=True),
    "own .pt, hybrid": Format(own("x.pt", _saved_tensor(torch.from_numpy(DENSE).to_sparse(1))), read_matrix, "zip", verified=True),
    "own .pt, top-k": Format(own("x.pt", _saved_tensor(TOP_K)), read_matrix, "zip", verified=True),
    "own .safetensors, dense": Format(own("x.safetensors", write_safetensors({"activations": torch.from_numpy(DENSE)})), read_matrix),
    "own .safetensors, locations": Format(own("x.safetensors", write_safetensors(LOCATIONS)), read_matrix),
    "own .parquet": Format(own("x.parquet", write_parquet), read_matrix),
    "own saved dataset": Format(make_saved_matrix, read_folder),
    "own saved dataset, state.json": Format(make_saved_matrix_state, read_folder, "json"),
    "own feature cache": Format(make_cache, lambda p: read_matrix(p.parents[1])),
    "tokens.npy": Format(beside_a_matrix("tokens.npy", npy_bytes(np.arange(4))), lambda p: read_matrix(p.parent / "x.npy")),
    "tokens.json": Format(beside_a_matrix("tokens.json", '[["a", "b"], ["a", "c"]]'), lambda p: read_matrix(p.parent / "x.npy"), "json"),
    "labels.txt": Format(beside_a_matrix("labels.txt", "x\ny\nz\n"), lambda p: read_matrix(p.parent / "x.npy")),
    "labels.json": Format(beside_a_matrix("labels.json", '["x", "y", "z"]'), lambda p: read_matrix(p.parent / "x.npy"), "json"),
    "memberships.npz": Format(make_snapshot, read_matrix, "zip", verified=True),
    "metadata.json": Format(make_snapshot_metadata, lambda p: read_matrix(p.parent / "memberships.npz"), "json"),
    "model_<step>.pth": Format(make_run, read_weights, "zip", verified=True),
    "model_<step>.pth, before PyTorch 1.6": Format(make_old_weights, read_weights),
    "final_config.yaml": Format(run_file("final_config.yaml"), read_run, "yaml"),
    "tms_train_config.yaml": Format(run_file("tms_train_config.yaml"), read_run, "yaml"),
    "model_config.yaml": Format(make_language_run, read_run, "yaml"),
    "pipeline file": Format(make_pipeline, read_pipeline, "yaml"),
    "run file": Format(make_run_settings, read_run_settings, "json"),
    "config.yaml": Format(make_workflow, read_workflow, "yaml"),
    "texts .txt": Format(make_texts, read_texts),
    "texts .jsonl": Format(lambda d: write_jsonl(d / "data.jsonl"), read_texts),
    "texts .parquet": Format(make_parquet, read_texts),
    "texts, saved folder": Format(make_saved, read_texts),
    "texts, saved folder, state.json": Format(make_saved_state, read_texts, "json"),
    "tokens .jsonl": Format(make_tokens, read_tokens),
    "tokenizer.json": Format(make_tokenizer, read_tokenizer, "json"),
}  # fmt: skip
"""By the name that docs/reliability.md calls each."""

SLOW_TO_READ = {
    "stability.json": 2, "texts .txt": 2, "texts .jsonl": 2, "texts .parquet": 4, "texts, saved folder": 4,
    "texts, saved folder, state.json": 3, "tokens .jsonl": 3, "tokenizer.json": 5, "model_<step>.pth": 10,
    "model_<step>.pth, before PyTorch 1.6": 10, "final_config.yaml": 10, "tms_train_config.yaml": 10,
    "model_config.yaml": 3,
}  # fmt: skip
"""Formats that take long to read, and how many damaged files of each the ordinary tests try."""
