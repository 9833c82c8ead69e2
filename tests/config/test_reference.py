"""Configuration files of the reference implementation, of every age: what becomes of each key."""

import json
from pathlib import Path

import pytest
import yaml

from spdclust.commands.cli import main
from spdclust.config.load import load_config, validate
from spdclust.config.merge import MergeConfig
from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.config.reference_keys import ignored_keys
from spdclust.config.resolve import _with_point, resolve_pipeline, unused_keys
from spdclust.config.run import EXPERIMENTS, ClusteringRunConfig
from spdclust.core.errors import InputError

HARVEST = {
    "model_path": "resources/resid_mlp1",
    "batch_size": 16,
    "n_tokens": 5000,
    "n_tokens_per_seq": 8,
    "activation_threshold": 0.1,
    "filter_dead_threshold": 0.2,
    "filter_dead_stat": "mean",
    "module_name_filter": "layers.0.",
}
MERGE = {
    "alpha": 10,
    "iters": 200,
    "merge_pair_sampling_method": "range",
    "merge_pair_sampling_kwargs": {"threshold": 0.001},
}
NEWEST_RUN = {"harvest": HARVEST, "merge": MERGE, "wandb_project": None, "logging_intervals": {"stat": 10}}
NEWEST_ENSEMBLE = {
    "harvest": HARVEST,
    "merge": MERGE,
    "n_runs": 4,
    "base_seed": 3,
    "distances_methods": ["perm_invariant_hamming"],
    "step": None,
    "plot_members": True,
    "partition": "h200",
    "merge_mem": "64G",
    "create_git_snapshot": False,
}
RECORD_OF_A_MERGE = {
    "snapshot_path": "/out/clustering/harvests/ch-12ab34cd",
    "seed": 2,
    "merge_config": MERGE,
}
FLAT_RUN = {
    "activation_threshold": 0.1,
    "alpha": 2,
    "iters": 140,
    "check_threshold": 0.02,
    "pop_component_prob": 0,
    "filter_dead_threshold": 0.01,
    "module_name_filter": "layers.0.",
    "rank_cost_fn_name": "const_1",
    "experiment_key": "resid_mlp1",
    "task_name": "resid_mlp",
    "n_batches": 4,
    "batch_size": 1024,
    "wandb_enabled": True,
    "wandb_project": "spd-cluster",
    "intervals": {"stat": 1, "tensor": 5, "plot": 6, "artifact": 7},
}


def write(path: Path, content: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content))
    return path


def merge_of_the_harvest(config: MergeConfig) -> bool:
    return config == MergeConfig(
        **MERGE,
        activation_threshold=0.1,
        filter_dead_threshold=0.2,
        filter_dead_stat="mean",
        module_name_filter="layers.0.",
    )


def test_a_run_file_of_a_harvest_and_a_merge_is_a_run(tmp_path):
    path = write(tmp_path / "run.json", NEWEST_RUN)
    run = load_config(ClusteringRunConfig, path)
    assert (run.model_path, run.batch_size, run.n_tokens, run.n_tokens_per_seq) == (
        "resources/resid_mlp1",
        16,
        5000,
        8,
    )
    assert merge_of_the_harvest(run.merge_config)
    assert (run.logging_intervals.stat, run.logging_intervals.plot, run.wandb_project) == (10, 100, None)
    assert unused_keys(path) == []


def test_a_file_of_a_harvest_alone_is_a_run_with_the_default_merge(tmp_path):
    run = load_config(ClusteringRunConfig, write(tmp_path / "harvest_config.json", HARVEST))
    assert (run.model_path, run.n_tokens) == ("resources/resid_mlp1", 5000)
    assert run.merge_config.model_copy(update=MERGE) == validate(ClusteringRunConfig, NEWEST_RUN).merge_config


def test_an_ensemble_in_one_file_is_a_pipeline(tmp_path):
    path = write(tmp_path / "ensemble.yaml", NEWEST_ENSEMBLE)
    (ensemble,) = resolve_pipeline(path)
    assert (ensemble.folder, ensemble.n_runs, ensemble.methods) == (
        "ensemble/ensemble",
        4,
        ["perm_invariant_hamming"],
    )
    assert merge_of_the_harvest(ensemble.run.merge_config)
    # each of its runs takes base_seed + its number for the samples and for the merge
    assert (ensemble.pipeline.base_seed, ensemble.run.dataset_seed) == (3, 3)
    assert ensemble.pipeline.slurm_partition == "h200"
    assert [line.split(": ")[1] for line in unused_keys(path)] == [
        "merge_mem changes nothing",
        "plot_members changes nothing",
    ]


def test_the_record_of_a_merge_names_its_snapshot(tmp_path):
    path = write(tmp_path / "merge_config.json", RECORD_OF_A_MERGE)
    run = load_config(ClusteringRunConfig, path)
    assert run.precomputed_activations_dir == RECORD_OF_A_MERGE["snapshot_path"]
    assert run.merge_config == MergeConfig(**MERGE)
    assert [line.split(": ")[1] for line in unused_keys(path)] == ["seed changes nothing"]


def test_a_flat_run_file_of_2025_is_a_run(tmp_path):
    path = write(tmp_path / "resid_mlp1.json", FLAT_RUN)
    run = load_config(ClusteringRunConfig, path)
    assert run.merge_config == MergeConfig(
        activation_threshold=0.1,
        alpha=2,
        iters=140,
        merge_pair_sampling_kwargs={"threshold": 0.02},
        filter_dead_threshold=0.01,
        module_name_filter="layers.0.",
    )
    assert run.logging_intervals.model_dump() == {"stat": 1, "tensor": 5, "plot": 6, "artifact": 7}
    assert (run.model_source, run.batch_size, run.n_batches) == (EXPERIMENTS["resid_mlp1"], 1024, None)
    lines = unused_keys(path)
    assert [line.split(": ")[1] for line in lines] == [
        "task_name changes nothing",
        "n_batches changes nothing",
    ]
    assert "n_runs of a pipeline" in lines[1]


@pytest.mark.parametrize("key", ["run_clustering_config_path", "clustering_run_config_path"])
def test_a_pipeline_of_2025_names_its_run_file_and_one_distance(tmp_path, key):
    write(tmp_path / "a.json", FLAT_RUN)
    settings = {key: "a.json", "n_runs": 2, "distances_method": "matching_dist"}
    path = write(tmp_path / "p.yaml", settings)
    (ensemble,) = resolve_pipeline(path)
    assert (ensemble.run_name, ensemble.methods) == ("a", ["matching_dist"])
    assert [line.split(":")[0] for line in unused_keys(path)] == [str(tmp_path / "a.json")] * 2


def test_a_run_inside_a_pipeline_of_2025(tmp_path):
    path = write(tmp_path / "p.yaml", {"run_clustering_config": FLAT_RUN, "n_runs": 2})
    (ensemble,) = resolve_pipeline(path)
    assert ensemble.run.merge_config.alpha == 2
    assert f"{path}: clustering_run_config.task_name changes nothing" in unused_keys(path)[0]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"n_samples": 300}, (300, None)),
        ({"n_samples": None, "n_tokens": 50}, (50, None)),
        ({"n_tokens_per_seq": 8, "use_all_tokens_per_seq": False}, (None, 8)),
        ({"n_tokens_per_seq": 8, "use_all_tokens_per_seq": True}, (None, None)),
        ({"use_all_tokens_per_seq": True, "n_tokens": 9}, (9, None)),
    ],
)
def test_keys_of_late_run_files(keys, found):
    run = ClusteringRunConfig(model_path="m", **keys)
    assert (run.n_tokens, run.n_tokens_per_seq) == found
    contradicts = keys.get("use_all_tokens_per_seq") and "n_tokens_per_seq" in keys
    assert list(ignored_keys(keys)) == (["n_tokens_per_seq"] if contradicts else [])


@pytest.mark.parametrize(
    ("model", "content", "line"),
    [
        (
            MergeConfig,
            {"pop_component_prob": 0.1},
            "pop_component_prob: found 0.1 (allowed: 0, or no such key; a component never leaves its group)",
        ),
        (
            MergeConfig,
            {"rank_cost_fn_name": "log"},
            "rank_cost_fn_name: found 'log' (allowed: const_1, or no such key; a group's rank is its number of components)",
        ),
        (
            MergeConfig,
            {"check_threshold": 0.1, "merge_pair_sampling_kwargs": {"threshold": 0.2}},
            "check_threshold: found 0.1 (allowed: as in merge_pair_sampling_kwargs, its newer name)",
        ),
        (
            MergeConfig,
            {"check_threshold": 0.1, "merge_pair_sampling_method": "mcmc"},
            "merge_pair_sampling_kwargs: unknown key 'threshold' for the mcmc sampler (allowed: temperature)",
        ),
        (
            ClusteringRunConfig,
            FLAT_RUN | {"pop_component_prob": 1},
            "merge_config: pop_component_prob: found 1 (allowed: 0, or no such key; a component never leaves its group)",
        ),
        (
            ClusteringRunConfig,
            NEWEST_RUN | {"model_path": "other"},
            "harvest: model_path is given outside as well (allowed: once)",
        ),
        (
            ClusteringRunConfig,
            NEWEST_RUN | {"merge": MERGE | {"activation_threshold": 0.5}},
            "harvest: activation_threshold is given outside as well (allowed: once)",
        ),
        (ClusteringRunConfig, NEWEST_RUN | {"merge": 3}, "merge: found 3 (allowed: a mapping)"),
        (
            ClusteringRunConfig,
            {"model_path": "m", "n_samples": 3, "n_tokens": 4},
            "n_samples: found 3 (allowed: 4, as in n_tokens, or one of the two)",
        ),
        (
            ClusteringPipelineConfig,
            NEWEST_ENSEMBLE | {"step": 5000},
            "step: found 5000 (allowed: null for the last one; or model_path: <run>/model_5000.pth)",
        ),
        (
            ClusteringPipelineConfig,
            NEWEST_ENSEMBLE | {"clustering_run_config": {"model_path": "m"}},
            "harvest: found with clustering_run_config (allowed: one of the two)",
        ),
        # keys of other files are still unknown ones
        (MergeConfig, {"batch_size": 64}, "batch_size: unknown key"),
        (ClusteringRunConfig, {"model_path": "m", "merge": MERGE}, "merge: unknown key"),
        (ClusteringRunConfig, {"model_path": "m", "harvest": "x"}, "harvest: unknown key"),
        (ClusteringRunConfig, {"model_path": "m", "merge_config": {}, "alpha": 2}, "alpha: unknown key"),
        (ClusteringPipelineConfig, {"clustering_run_config_path": "a", "partition": "x"}, "partition: unknown key"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_line(model, content, line):
    with pytest.raises(InputError) as caught:
        validate(model, content, file="f")
    assert str(caught.value).startswith(f"f: {line}")
    assert "\n" not in str(caught.value)


def test_the_merge_of_the_branch_with_several_batches_has_a_batch_size_too():
    given = {"recompute_costs_every": 5, "batch_size": 64}
    assert MergeConfig(**given) == MergeConfig(recompute_costs_every=5)
    assert list(ignored_keys({"merge_config": given})) == ["merge_config.batch_size"]


@pytest.mark.parametrize(
    "path", ["wandb:goodfire/spd/runs/s-62fce8c4", "goodfire/spd/s-62fce8c4", "wandb:goodfire/spd/s-62fce8c4"]
)
def test_an_experiment_and_the_path_of_its_run_may_both_be_given(path):
    run = ClusteringRunConfig(experiment_key="resid_mlp1", model_path=path)
    assert run.model_source == EXPERIMENTS["resid_mlp1"]


def test_defaults_of_the_samplers_are_those_of_the_reference():
    assert MergeConfig().merge_pair_sampling_kwargs == {"threshold": 0.05}
    assert MergeConfig() == MergeConfig(merge_pair_sampling_kwargs={"threshold": 0.05})
    assert MergeConfig(merge_pair_sampling_kwargs={}).resolved() == MergeConfig().resolved()
    for method, expected in (("mcmc", {"temperature": 1.0}), ("exp_rank", {"decay": 0.2})):
        assert MergeConfig(merge_pair_sampling_method=method).merge_pair_sampling_kwargs == expected
    # a sweep over samplers takes the defaults of each
    run = ClusteringRunConfig(model_path="m")
    swept = _with_point(run, {"merge_config.merge_pair_sampling_method": "mcmc"})
    assert swept.merge_config.sampler_kwargs == {"temperature": 1.0}
    swept = _with_point(run, {"merge_config.merge_pair_sampling_kwargs.threshold": 0.5})
    assert swept.merge_config.sampler_kwargs == {"threshold": 0.5}


def test_a_run_file_is_found_from_the_root_of_the_checkout_that_the_pipeline_is_in(tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    name = "spd/clustering/configs/crc/a.json"
    pipeline = root / "spd/clustering/configs/pipeline_config.yaml"
    write(pipeline, {"clustering_run_config_path": name, "n_runs": 2})
    write(pipeline.parent / "a.json", {"model_path": "m", "batch_size": 1})  # another file of that name
    write(root / name, {"model_path": "m", "batch_size": 2})
    monkeypatch.chdir(tmp_path)
    assert resolve_pipeline(pipeline)[0].run.batch_size == 2
    monkeypatch.chdir(root / "spd")
    assert resolve_pipeline(Path("clustering/configs/pipeline_config.yaml"))[0].run.batch_size == 2
    (root / name).unlink()
    assert resolve_pipeline(pipeline)[0].run.batch_size == 1
    # the name alone says too little to search for it elsewhere
    write(root / "b.json", {"model_path": "m"})
    write(pipeline, {"clustering_run_config_path": "b.json", "n_runs": 2})
    with pytest.raises(InputError, match=r"pipeline_config\.yaml: clustering_run_config_path: no such file"):
        resolve_pipeline(pipeline)


def test_validate_reads_every_kind_and_says_what_it_ignores(tmp_path, capsys, caplog):
    for name, content, ignored in (
        ("run.json", NEWEST_RUN, []),
        ("ensemble.yaml", NEWEST_ENSEMBLE, ["merge_mem", "plot_members"]),
        ("flat.json", FLAT_RUN | {"experiment_key": None, "model_path": "resources/resid_mlp1"}, ["task_name", "n_batches"]),
    ):  # fmt: skip
        path = write(tmp_path / name, content)
        assert main(["validate", str(path)]) == 0
        assert "components: 200" in capsys.readouterr().out
        assert [line.split(" changes nothing: ")[0] for line in caplog.messages] == [
            f"{path}: {key}" for key in ignored
        ]
        caplog.clear()


def test_the_cases_in_the_shared_folder_load(oracle):
    cases = oracle.parent / "cases"
    if not (cases / "run_pile4L.json").is_file():
        pytest.skip("no cases here")
    run = load_config(ClusteringRunConfig, cases / "run_pile4L.json")
    assert (run.model_path, run.merge_config.activation_threshold) == ("goodfire/spd/runs/s-55ea3f9b", 0.1)
    assert resolve_pipeline(cases / "ensemble.yaml")[0].n_runs == 4
    assert load_config(ClusteringRunConfig, cases / "merge_config.json").merge_config.iters == 100
