import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from spdclust.config import load
from spdclust.config.load import MOST_VALUES, load_config, parse_yaml, read_mapping, validate
from spdclust.config.merge import MergeConfig
from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.config.resolve import (
    WorkflowConfig,
    _sweep_points,
    resolve_pipeline,
    resolve_workflow,
    unused_keys,
)
from spdclust.config.run import EXPERIMENTS, ClusteringRunConfig, DatasetConfig, run_settings_without_effect
from spdclust.core.errors import InputError
from spdclust.core.names import METHODS

RUN = {"model_path": "resources/resid_mlp1", "batch_size": 8}


def write(folder: Path, name: str, content: dict) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content, sort_keys=False)
    )
    return path


@pytest.mark.parametrize(
    ("model", "content", "line"),
    [
        (MergeConfig, {"alpah": 1}, "f.yaml: alpah: unknown key (allowed: alpha)"),
        (
            MergeConfig,
            {"activation_threshold": -0.1},
            "f.yaml: activation_threshold: not allowed (found: -0.1; allowed: greater than or equal to 0)",
        ),
        (
            ClusteringRunConfig,
            RUN | {"merge_config": {"activation_treshold": 0.1}},
            "f.yaml: merge_config.activation_treshold: unknown key (allowed: activation_threshold)",
        ),
        (
            MergeConfig,
            {"iters": 0},
            "f.yaml: iters: not allowed (found: 0; allowed: greater than or equal to 1)",
        ),
        (
            MergeConfig,
            {"merge_pair_sampling_method": "rnage"},
            "f.yaml: merge_pair_sampling_method: not allowed (found: rnage; allowed: 'range', 'mcmc' or 'exp_rank')",
        ),
        (
            MergeConfig,
            {"merge_pair_sampling_kwargs": {"temperature": 1}},
            "f.yaml: merge_pair_sampling_kwargs: unknown key 'temperature' for the range sampler (allowed: threshold)",
        ),
        (
            ClusteringRunConfig,
            RUN | {"merge_config": {"merge_pair_sampling_kwargs": {"threshold": 2}}},
            "f.yaml: merge_config: merge_pair_sampling_kwargs.threshold: found 2.0 (allowed: 0 to 1)",
        ),
        (
            ClusteringPipelineConfig,
            {"clustering_run_config_path": "a", "n_runs": 0},
            "f.yaml: n_runs: not allowed (found: 0; allowed: greater than or equal to 1)",
        ),
        (
            ClusteringPipelineConfig,
            {"clustering_run_config_path": "a", "n_runs": 10**6},
            "f.yaml: n_runs: not allowed (found: 1000000; allowed: less than or equal to 100000)",
        ),
        (ClusteringRunConfig, RUN | {"n_tokens": True}, "f.yaml: n_tokens: found true (allowed: a number)"),
        (MergeConfig, {"alpha": False}, "f.yaml: alpha: found false (allowed: a number)"),
        (
            MergeConfig,
            {"merge_pair_sampling_kwargs": {"threshold": True}},
            "f.yaml: merge_pair_sampling_kwargs.threshold: found true (allowed: a number)",
        ),
        (
            ClusteringRunConfig,
            RUN | {"dataset_seed": 2**53},
            "f.yaml: dataset_seed: found 9007199254740992 (allowed: at most 9007199254740991)",
        ),
        (
            ClusteringRunConfig,
            ["a"],
            "f.yaml: not allowed (found: ['a']; allowed: a mapping of settings)",
        ),
        (
            ClusteringPipelineConfig,
            ["a"],
            "f.yaml: not allowed (found: ['a']; allowed: a mapping of settings)",
        ),
        (
            ClusteringRunConfig,
            RUN | {"merge_config": None},  # all of its lines are comments
            "f.yaml: merge_config: not allowed (found: null; allowed: a mapping of settings)",
        ),
        (
            ClusteringRunConfig,
            RUN | {"merge_config": {"iters": "none"}},
            "f.yaml: merge_config.iters: not allowed (found: none; allowed: an integer, or null)",
        ),
        (
            ClusteringRunConfig,
            RUN | {"n_tokens": 1.5},
            "f.yaml: n_tokens: not allowed (found: 1.5; allowed: an integer, or null)",
        ),
        (
            ClusteringRunConfig,
            RUN | {"dataset": {"is_tokenized": "perhaps"}},
            "f.yaml: dataset.is_tokenized: not allowed (found: perhaps; allowed: true or false, or null)",
        ),
        (
            ClusteringRunConfig,
            RUN | {"device": "gpu"},
            "f.yaml: device: found 'gpu' (allowed: auto, cpu, cuda, mps, xpu, or one of these devices with its number, "
            "as cuda:1)",
        ),
        (
            ClusteringPipelineConfig,
            {"clustering_run_config": RUN, "distances_methods": []},
            "f.yaml: distances_methods: not allowed (found: []; allowed: at least 1 in the list)",
        ),
        (
            ClusteringRunConfig,
            {},
            "f.yaml: model_path: missing (allowed: a run directory, a model_<step>.pth, or "
            "wandb:entity/project/run_id; else experiment_key or precomputed_activations_dir)",
        ),
        (
            ClusteringRunConfig,
            {"model_path": "a", "experiment_key": "resid_mlp1"},
            "f.yaml: experiment_key: found resid_mlp1, which is wandb:goodfire/spd/runs/s-62fce8c4, with "
            "another model_path, a (allowed: one of the two, or the same run)",
        ),
        (
            ClusteringRunConfig,
            {"experiment_key": "resid"},
            "f.yaml: experiment_key: found 'resid' (allowed: tms_5-2, tms_5-2-id, tms_40-10, tms_40-10-id, "
            "resid_mlp1, resid_mlp2)",
        ),
        (
            ClusteringRunConfig,
            RUN | {"logging_intervals": {"stat": 5}, "wandb_log_frequency": 6},
            "f.yaml: wandb_log_frequency: found 6 (allowed: 5, as in logging_intervals.stat, or one of the two)",
        ),
        (
            ClusteringPipelineConfig,
            {"clustering_run_config_path": "a", "distances_methods": ["jaccard_dist"] * 2},
            "f.yaml: distances_methods: found ['jaccard_dist', 'jaccard_dist'] (allowed: each method once)",
        ),
        (
            ClusteringPipelineConfig,
            {},
            "f.yaml: clustering_run_config_path: found neither or both (allowed: a run file here, or the run "
            "itself as clustering_run_config)",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(model, content, line):
    with pytest.raises(InputError) as caught:
        validate(model, content, file="f.yaml")
    assert str(caught.value) == line


def test_every_distance_can_be_asked_for_and_no_other():
    ClusteringPipelineConfig(clustering_run_config_path="a", distances_methods=list(METHODS))
    with pytest.raises(InputError, match=r"distances_methods: found 'hamming' \(allowed: perm_invariant"):
        validate(
            ClusteringPipelineConfig, {"clustering_run_config_path": "a", "distances_methods": ["hamming"]}
        )


@pytest.mark.parametrize("name", ["resid_mlp1.json", "test-resid_mlp1.json", "example.yaml"])
def test_published_run_files_load_unchanged(oracle, name):
    run = load_config(ClusteringRunConfig, oracle / "reference-configs" / name)
    assert run.model_source.startswith("wandb:goodfire/spd/runs/")


def test_the_published_pipeline_loads_unchanged(oracle):
    (ensemble,) = resolve_pipeline(oracle / "reference-configs" / "pipeline_config.yaml")
    assert ensemble.folder == "ss_llama_simple_mlp-1L/pipeline_config"
    assert ensemble.run.merge_config.sampler_kwargs == {"threshold": 0.001}


def test_every_published_file_loads(oracle):
    for path in sorted((oracle / "reference-configs").iterdir()):
        model = ClusteringPipelineConfig if path.name == "pipeline_config.yaml" else ClusteringRunConfig
        load_config(model, path)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, []),
        ({"calc_distances": True}, []),
        ({"calc_distances": False}, ["calc_distances"]),
        (
            {"slurm_mem": None, "base_output_dir": "/a", "calc_distances": True},
            ["base_output_dir", "slurm_mem"],
        ),
        ({"devices_per_run": 2}, ["devices_per_run"]),
    ],
)
def test_keys_that_only_the_reference_obeys_are_said(tmp_path, keys, said):
    path = write(tmp_path, "p.yaml", {"n_runs": 3} | keys)
    lines = unused_keys(path)
    assert [line.split(" changes nothing: ")[0] for line in lines] == [f"{path}: {key}" for key in said]


def test_a_pipeline_file_in_the_place_of_a_run_file_is_one_line(tmp_path):
    path = write(tmp_path, "p.yaml", {"clustering_run_config_path": "p.yaml", "slurm_mem": "3G"})
    assert len(unused_keys(path)) == 2
    with pytest.raises(InputError, match=r"p\.yaml: clustering_run_config_path: unknown key"):
        resolve_pipeline(path)


def test_the_references_own_bookkeeping_keys_are_accepted():
    content = RUN | {"ensemble_id": "e-1", "idx_in_ensemble": 3, "output_dir": "/somewhere"}
    assert validate(ClusteringRunConfig, content).batch_size == 8


def test_an_experiment_key_stands_for_its_run():
    run = ClusteringRunConfig(experiment_key="tms_5-2")
    assert run.model_source == EXPERIMENTS["tms_5-2"] == "wandb:goodfire/spd/runs/s-38e1a3e2"


def test_a_pipeline_finds_its_run_file_beside_it_then_from_the_working_folder(tmp_path, monkeypatch):
    pipeline = write(tmp_path, "p/demo.yaml", {"clustering_run_config_path": "runs/a.json"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"demo\.yaml: clustering_run_config_path: no such file"):
        resolve_pipeline(pipeline)
    write(tmp_path, "runs/a.json", RUN | {"batch_size": 2})
    assert resolve_pipeline(pipeline)[0].run.batch_size == 2
    write(tmp_path, "p/runs/a.json", RUN | {"batch_size": 3})
    assert resolve_pipeline(pipeline)[0].run.batch_size == 3


def test_a_sweep_gives_one_named_ensemble_a_point_on_the_same_batches(tmp_path):
    write(tmp_path, "run.yaml", RUN)
    sweep = {"merge_config.alpha": [0.5, 2], "merge_config.activation_threshold": [None, 0.1]}
    path = write(tmp_path, "s.yaml", {"clustering_run_config_path": "run.yaml", "sweep": sweep})
    ensembles = resolve_pipeline(path)
    assert [ensemble.folder for ensemble in ensembles] == [
        "run/s-alpha~0.5-activation_threshold~null",
        "run/s-alpha~0.5-activation_threshold~0.1",
        "run/s-alpha~2-activation_threshold~null",
        "run/s-alpha~2-activation_threshold~0.1",
    ]
    assert [ensemble.run.merge_config.alpha for ensemble in ensembles] == [0.5, 0.5, 2, 2]
    assert len({json.dumps(ensemble.run.sampling()) for ensemble in ensembles}) == 1


@pytest.mark.parametrize(("n_runs", "jobs", "shared_by"), [(3, 2, 2), (3, 500, 3), (2, 4, 1), (40, 500, 500)])
def test_no_job_for_distances_is_without_a_pair_of_runs(tmp_path, n_runs, jobs, shared_by):
    settings = {"clustering_run_config": RUN, "n_runs": n_runs, "distances_jobs": jobs}
    (ensemble,) = resolve_pipeline(write(tmp_path, "p.yaml", settings))
    assert ensemble.distances_jobs == shared_by
    assert "distances_jobs" not in ensemble.resolved_pipeline()  # a file that other jobs read


@pytest.mark.parametrize("jobs", [0, 501])
def test_a_number_of_jobs_for_distances_that_cannot_be(tmp_path, jobs):
    path = write(tmp_path, "p.yaml", {"clustering_run_config": RUN, "distances_jobs": jobs})
    with pytest.raises(InputError, match=f"p.yaml: distances_jobs: not allowed .found: {jobs}"):
        resolve_pipeline(path)


def test_an_ensemble_tells_what_its_pipeline_says(tmp_path):
    run = write(tmp_path, "run.yaml", RUN | {"merge_config": {"alpha": 2}})
    settings = {"clustering_run_config_path": run.name, "n_runs": 3, "distances_stride": 5, "base_seed": 9}
    (ensemble,) = resolve_pipeline(
        write(tmp_path, "p.yaml", settings | {"distances_methods": ["jaccard_dist"]})
    )
    assert (ensemble.n_runs, ensemble.methods, ensemble.stride) == (3, ["jaccard_dist"], 5)
    assert ensemble.tracking is None
    assert ensemble.identity()["ensemble"] == ensemble.folder == "run/p"
    assert ensemble.identity()["base_seed"] == ensemble.resolved_pipeline()["base_seed"] == 9
    assert (
        ensemble.resolved_run()["merge_config"]["alpha"] == ensemble.identity()["merge_config"]["alpha"] == 2
    )
    tracked = settings | {"wandb_project": "demo"}
    (ensemble,) = resolve_pipeline(write(tmp_path, "q.yaml", tracked))
    assert ensemble.tracking.project == "demo"


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"merge_config.alhpa": [1]}, r"sweep: merge_config\.alhpa: cannot be swept"),
        ({"batch_size": [1]}, "sweep: batch_size: cannot be swept"),
        ({"merge_config.alpha": []}, r"sweep: merge_config\.alpha: no values"),
        ({"merge_config.alpha": ["a"]}, r"sweep: merge_config\.alpha: value not allowed.*found: a"),
    ],
)
def test_a_wrong_sweep_is_refused(tmp_path, sweep, message):
    write(tmp_path, "run.yaml", RUN)
    path = write(tmp_path, "s.yaml", {"clustering_run_config_path": "run.yaml", "sweep": sweep})
    with pytest.raises(InputError, match=message):
        resolve_pipeline(path)


def test_path_objects_are_accepted_wherever_a_path_is(tmp_path):
    path = Path("a") / "b"
    run = ClusteringRunConfig(
        model_path=path, precomputed_activations_dir=path, dataset={"name": path, "tokenizer": path}
    )
    assert run == ClusteringRunConfig(
        model_path="a/b", precomputed_activations_dir="a/b", dataset={"name": "a/b", "tokenizer": "a/b"}
    )
    pipeline = ClusteringPipelineConfig(clustering_run_config_path=path)
    workflow = WorkflowConfig(pipelines=[path], results=path)
    found = [run.model_path, run.precomputed_activations_dir, run.dataset.name, run.dataset.tokenizer]
    found += [pipeline.clustering_run_config_path, *workflow.pipelines, workflow.results]
    assert found == ["a/b"] * 7
    assert all(type(each) is str for each in found)
    assert json.loads(json.dumps(run.resolved()))["model_path"] == "a/b"
    # every setting that is named or described as a path is among them, so that a new one is not forgotten
    paths = {
        f"{model.__name__}.{name}"
        for model in (
            ClusteringRunConfig,
            DatasetConfig,
            ClusteringPipelineConfig,
            WorkflowConfig,
            MergeConfig,
        )
        for name, field in model.model_fields.items()
        if re.search("_(path|dir)$", name)
        or re.search(r"[Ll]ocal|folder of|^Folder|[Ff]iles, from", field.description or "")
    }
    assert paths == {
        "ClusteringRunConfig.model_path", "ClusteringRunConfig.precomputed_activations_dir", "DatasetConfig.name",
        "DatasetConfig.tokenizer", "ClusteringPipelineConfig.clustering_run_config_path", "WorkflowConfig.pipelines",
        "WorkflowConfig.results",
    }  # fmt: skip


@pytest.mark.parametrize("wrong", [3, ["a"], {"a": 1}])
def test_what_is_no_path_is_one_line(wrong):
    with pytest.raises(
        InputError, match=r"^model_path: not allowed \(found: .*; allowed: a text, or null\)$"
    ):
        ClusteringRunConfig(model_path=wrong)


def test_swept_values_take_the_type_of_their_setting_before_anything_is_named(tmp_path):
    """YAML 1.1 reads 1e-2 as text: the axis was categorical, the folder `alpha~1e_2`."""
    write(tmp_path, "run.yaml", RUN)
    text = "clustering_run_config_path: run.yaml\nsweep: {merge_config.alpha: [1, 1e-2, 3e-1, 1.5e+1]}"
    (tmp_path / "s.yaml").write_text(text)
    assert isinstance(read_mapping(tmp_path / "s.yaml")["sweep"]["merge_config.alpha"][1], str)
    ensembles = resolve_pipeline(tmp_path / "s.yaml")
    assert [each.sweep_point["merge_config.alpha"] for each in ensembles] == [1, 0.01, 0.3, 15.0]
    assert [each.name for each in ensembles] == ["s-alpha~1", "s-alpha~0.01", "s-alpha~0.3", "s-alpha~15.0"]
    assert [each.run.merge_config.alpha for each in ensembles] == [1.0, 0.01, 0.3, 15.0]


@pytest.mark.parametrize(
    ("key", "values", "names"),
    [
        ("merge_pair_sampling_kwargs", [{"threshold": "1e-2"}, {"threshold": 0}], ["threshold_0.01", "threshold_0"]),
        ("merge_pair_sampling_kwargs.threshold", ["1e-2", 0.5], ["0.01", "0.5"]),
        ("iters", ["10", None, 20], ["10", "null", "20"]),
        ("module_name_filter", ["1e-2", ["a", "b"]], ["1e-2", "a_b"]),  # a setting that is text stays text
        ("alpha", [2, 2.5, 3.0], ["2", "2.5", "3.0"]),  # numbers are named as written
    ],
)  # fmt: skip
def test_points_are_named_by_typed_values(tmp_path, key, values, names):
    write(tmp_path, "run.yaml", RUN | {"n_batches": 1})
    sweep = {f"merge_config.{key}": values}
    path = write(tmp_path, "s.yaml", {"clustering_run_config_path": "run.yaml", "sweep": sweep})
    last = key.split(".")[-1]
    ensembles = resolve_pipeline(path)
    if key == "module_name_filter":
        names = [re.sub("[^A-Za-z0-9.+_]+", "_", name) for name in names]
    assert [each.name for each in ensembles] == [f"s-{last}~{name}" for name in names]


@pytest.mark.parametrize(
    ("sweep", "mode"),
    [
        ({"merge_config.alpha": [1, 1.0]}, "product"),
        ({"merge_config.alpha": ["1e-2", 0.01]}, "product"),
        ({"merge_config.alpha": [1, 2, "1.0"], "merge_config.iters": [3, 4]}, "product"),
        ({"merge_config.alpha": [1, 2, 1.0], "merge_config.iters": [3, 3, 3]}, "zip"),
    ],
)
def test_equal_points_are_one_line(tmp_path, sweep, mode):
    write(tmp_path, "run.yaml", RUN)
    settings = {"clustering_run_config_path": "run.yaml", "sweep": sweep, "sweep_mode": mode}
    path = write(tmp_path, "s.yaml", settings)
    with pytest.raises(
        InputError, match=r"s\.yaml: sweep: two points are equal \(found: .*merge_config\.alpha"
    ):
        resolve_pipeline(path)


def test_a_value_may_come_twice_where_the_points_differ(tmp_path):
    write(tmp_path, "run.yaml", RUN)
    sweep = {"merge_config.alpha": [1, 1.0], "merge_config.iters": [3, 4]}
    settings = {"clustering_run_config_path": "run.yaml", "sweep": sweep, "sweep_mode": "zip"}
    assert len(resolve_pipeline(write(tmp_path, "s.yaml", settings))) == 2


def test_zipped_sweeps_need_equal_lengths():
    settings = {"clustering_run_config_path": "a", "sweep_mode": "zip"}
    both = {"merge_config.alpha": [1, 2], "merge_config.iters": [3, 4]}
    points = _sweep_points(ClusteringPipelineConfig(**settings, sweep=both))
    assert points == [
        {"merge_config.alpha": 1, "merge_config.iters": 3},
        {"merge_config.alpha": 2, "merge_config.iters": 4},
    ]
    both["merge_config.iters"] = [3]
    with pytest.raises(InputError, match="lists differ in length"):
        _sweep_points(ClusteringPipelineConfig(**settings, sweep=both))


def test_names_cannot_lead_out_of_the_results(tmp_path):
    write(tmp_path, "run.yaml", RUN)
    path = write(tmp_path, "a b.yaml", {"clustering_run_config_path": "run.yaml"})
    with pytest.raises(InputError, match="name cannot be used in a path"):
        resolve_pipeline(path)


def test_two_pipelines_of_one_name_are_refused(tmp_path):
    write(tmp_path, "run.yaml", RUN)
    paths = [
        str(write(tmp_path, f"{folder}/p.yaml", {"clustering_run_config_path": str(tmp_path / "run.yaml")}))
        for folder in ("a", "b")
    ]
    with pytest.raises(InputError, match="two pipelines have the same name"):
        resolve_workflow(WorkflowConfig(pipelines=paths))


def test_run_files_of_one_name_must_sample_alike(tmp_path):
    paths = []
    for folder, size in (("a", 8), ("b", 9)):
        write(tmp_path, f"{folder}/run.yaml", RUN | {"batch_size": size})
        name = f"{folder}/{folder}.yaml"
        paths.append(str(write(tmp_path, name, {"clustering_run_config_path": "run.yaml"})))
    with pytest.raises(InputError, match=r"batch_size: two run files have the same name .*found: \[8, 9\]"):
        resolve_workflow(WorkflowConfig(pipelines=paths))


def test_one_run_has_no_distances(tmp_path):
    write(tmp_path, "run.yaml", RUN)
    path = write(tmp_path, "p.yaml", {"clustering_run_config_path": "run.yaml", "n_runs": 1})
    with pytest.raises(
        InputError, match=r"n_runs: distances need several runs \(found: 1; allowed: 2 or more\)"
    ):
        resolve_pipeline(path)


def test_seeds_of_neighbouring_runs_cannot_collide():
    run = ClusteringRunConfig(**RUN, dataset_seed=7)
    assert run.batch_seed(2, 3) == 2010
    long = ClusteringRunConfig(**RUN, merge_config={"iters": 3003, "recompute_costs_every": 3})
    with pytest.raises(ValueError, match="1001 batches a run are needed"):
        long.batches_needed()


def test_batches_have_to_be_counted_where_the_number_of_merges_is_not_known():
    merge = {"iters": None, "recompute_costs_every": 2}
    with pytest.raises(
        ValueError, match=r"n_batches: missing \(allowed: 1 to 1000; it is needed where iters"
    ):
        ClusteringRunConfig.model_validate(RUN | {"merge_config": merge}).batches_needed()
    assert (
        ClusteringRunConfig.model_validate(RUN | {"merge_config": merge, "n_batches": 7}).batches_needed()
        == 7
    )


def test_yaml_aliases_stand_for_what_they_name_but_unfold_to_an_end():
    assert parse_yaml("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}
    assert parse_yaml("") is None
    for text, message in [
        ("a: &x [*x]", "recursive alias"),
        (
            "a: &a [0, 0]\n"
            + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrs")),
            "unfold",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            parse_yaml(text)


def test_merge_settings_do_not_change_what_is_sampled():
    changed = ClusteringRunConfig(**RUN, merge_config={"alpha": 9}, wandb_project="p", n_batches=3)
    assert changed.sampling() == ClusteringRunConfig(**RUN).sampling()
    assert ClusteringRunConfig(**RUN | {"dataset_seed": 1}).sampling() != changed.sampling()


def test_the_limit_of_values_in_a_file_of_settings_is_the_one_that_is_named(monkeypatch):
    def unfolded(more):  # without reading all of them, which takes long
        return f"- &a [{', '.join(['1'] * 997)}]\n" + "- *a\n" * 99 + "- 1\n" * more

    assert MOST_VALUES == 100_000 == 1 + 100 * 998 + 199
    assert [len(each) for each in parse_yaml(unfolded(199))[:100]] == [997] * 100
    with pytest.raises(ValueError, match="more than 100000 values once aliases are unfolded"):
        parse_yaml(unfolded(200))

    monkeypatch.setattr(load, "MOST_VALUES", 1000)
    assert len(parse_yaml(f"[{', '.join(['1'] * 999)}]")) == 999  # and the list itself
    with pytest.raises(ValueError, match="more than 1000 values"):
        parse_yaml(f"[{', '.join(['1'] * 1000)}]")


def test_settings_that_change_nothing_are_named():
    tokenizer = {"precomputed_activations_dir": "x", "dataset": {"tokenizer": "gpt2"}}
    assert run_settings_without_effect(ClusteringRunConfig.model_validate(tokenizer)) == []
    tokenizer["dataset"]["n_ctx"] = 5
    assert len(run_settings_without_effect(ClusteringRunConfig.model_validate(tokenizer))) == 1
    files = ClusteringRunConfig(
        precomputed_activations_dir="x", n_tokens=5, keep_examples=2, runs_per_batches_job=2
    )
    assert run_settings_without_effect(files) == [
        *(
            f"{name}: no effect with precomputed_activations_dir, whose files hold the samples"
            for name in ("n_tokens", "keep_examples")
        ),
        "runs_per_batches_job: no effect with precomputed_activations_dir: no model is loaded",
    ]
    given = {"model_path": "m", "n_tokens_per_seq": 2, "dataset": {"name": "a.txt"}, "n_tokens": 9}
    run = ClusteringRunConfig.model_validate(given | {"merge_config": {"between_batches": "mask"}})
    mask = "merge_config.between_batches: no effect with recompute_costs_every: 1, which stays on one batch"
    assert run_settings_without_effect(run) == [mask]
    assert run_settings_without_effect(run, task="tms") == [
        "n_tokens_per_seq: no effect on a toy model, whose inputs are generated",
        "dataset: no effect on a toy model, whose inputs are generated",
        mask,
    ]
    several = {"between_batches": "mask", "recompute_costs_every": 2}
    assert run_settings_without_effect(ClusteringRunConfig(model_path="m", merge_config=several)) == []


def test_a_filter_that_names_no_module_is_rejected_before_the_merge():
    with pytest.raises(InputError, match=r"module_name_filter: found \[\] \(allowed: names of modules"):
        MergeConfig(module_name_filter=[])
