"""`cluster_analysis_pipeline` as notebooks call it, and the page that shows it."""

import re

import pytest
from workflow import REPOSITORY

from spdclust import pipeline as module
from spdclust.config.merge import MergeConfig
from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.pipeline import cluster_analysis_pipeline

PAGE = REPOSITORY / "docs" / "notebook.md"


def pipeline(n_runs=3, **settings):
    run = ClusteringRunConfig(
        model_path="resources/resid_mlp1",
        n_tokens=64,
        device="cpu",
        merge_config=MergeConfig(iters=4),
        **settings,
    )
    return ClusteringPipelineConfig(clustering_run_config=run, n_runs=n_runs)


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_page_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resources").symlink_to(REPOSITORY / "resources")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 6
    cells = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), cells)
    said = capsys.readouterr().out
    assert "components," in said
    assert "config/pipelines/none.yaml: no such file" in said
    assert cells["between"].shape[1:] == (3, 3)
    assert cells["in_all_runs"]
    assert cells["groups"].n_groups > 0
    assert cells["figure"].axes
    assert (tmp_path / "results/notebook/notebook/summary.json").is_file()


def test_devices_are_given_out_in_turn(tmp_path, monkeypatch):
    asked = []
    precompute = module.precompute_batches_for_ensemble

    def noted(config, *args, **kwargs):
        asked.append((config.device, kwargs["runs"]))
        return precompute(config.model_copy(update={"device": "cpu"}), *args, **kwargs)

    monkeypatch.setattr(module, "precompute_batches_for_ensemble", noted)
    cluster_analysis_pipeline(pipeline(), results=tmp_path, devices=["cuda:0", "cuda:1"])
    assert asked == [("cuda:0", [0]), ("cuda:1", [1]), ("cuda:0", [2])]


def test_one_worker_stays_in_the_calling_process(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise LookupError("from inside")

    monkeypatch.setattr(module, "merge", broken)  # a new process would not see this
    with pytest.raises(LookupError, match="from inside"):
        cluster_analysis_pipeline(pipeline(n_runs=2), results=tmp_path)


def test_what_goes_wrong_in_a_worker_is_raised_as_it_is(tmp_path):
    broken = tmp_path / "batches" / "run_1"
    for run in (0, 1):
        (tmp_path / "batches" / f"run_{run}").mkdir(parents=True)
        (tmp_path / "batches" / f"run_{run}" / "batch_0.pt").write_bytes(b"no batch")
    run = ClusteringRunConfig(
        precomputed_activations_dir=str(broken.parent), merge_config=MergeConfig(iters=4)
    )
    settings = ClusteringPipelineConfig(clustering_run_config=run, n_runs=2)
    raised = {}
    for n_workers in (1, 2):
        with pytest.raises(InputError) as caught:
            cluster_analysis_pipeline(settings, results=tmp_path / "results", n_workers=n_workers)
        raised[n_workers] = (type(caught.value), str(caught.value), caught.value.file)
    assert raised[1] == raised[2]
    assert "batch_0.pt" in raised[1][1]


@pytest.mark.slow
def test_the_number_of_workers_changes_no_byte(tmp_path):
    for n_workers in (1, 2):
        cluster_analysis_pipeline(pipeline(), results=tmp_path / str(n_workers), n_workers=n_workers)
    one, two = files(tmp_path / "1"), files(tmp_path / "2")
    assert set(one) == set(two)
    assert [name for name in one if one[name] != two[name]] == []


def test_no_workers_and_sweeps_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"n_workers: out of range \(found: 0; allowed: 1 or more\)"):
        cluster_analysis_pipeline(pipeline(), results=tmp_path, n_workers=0)
    swept = pipeline().model_copy(update={"sweep": {"merge_config.alpha": [1, 2]}})
    with pytest.raises(InputError, match=r"sweep: a sweep has several ensembles \(found: 2; allowed: none"):
        cluster_analysis_pipeline(swept, results=tmp_path)
    assert not list(tmp_path.iterdir())
