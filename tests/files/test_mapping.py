import json
from typing import ClassVar

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from spdclust.commands.cli import main
from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.files.histories import load_merge_histories, save_merge_history
from spdclust.files.reference import mapping_record
from spdclust.merge.history import MergeHistory
from spdclust.partitions.ensemble import normalize_ensemble


class NewerFile(BaseModel):
    """What the viewer of single runs accepts."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)
    clustering_run_id: str
    notes: str
    spd_run: str
    iteration: int
    clusters: dict[str, int | None]


class OlderFile(BaseModel):
    """What the viewer of ensembles accepts."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)
    ensemble_id: str
    notes: str
    spd_run: str
    n_iterations: int
    run_idx: int
    clusters: dict[str, int | None]


LABELS = ["a:0", "a:1", "b:0", "b:1", "b:2"]
RUNS = [[[0, 1], [1, 2]], [[0, 1], [2, 3]], [[0, 1], [1, 2]]]  # two runs join b:0 and b:1, one b:1 and b:2


@pytest.fixture
def ensemble(tmp_path):
    folder = tmp_path / "model" / "demo"
    for run, pairs in enumerate(RUNS):
        mdl = np.array([2.0, 1.0])
        made = MergeHistory(LABELS, np.array(pairs), mdl, np.zeros(2), MergeConfig(iters=None))
        save_merge_history(made, folder / "runs" / f"run_{run}" / "history.zip")
    settings = {"model_path": "wandb:e/p/runs/s-12345678", "n_tokens": 8}
    (folder / "clustering_run_config.json").write_text(json.dumps(settings))
    return folder


def written(folder, *arguments):
    before = set(folder.glob("*.json"))
    assert main(["mapping", *map(str, arguments)]) == 0
    (new,) = set(folder.glob("*.json")) - before
    return new.name, json.loads(new.read_text())


def test_one_run_s_mapping_is_its_grouping_with_null_for_components_that_are_alone(ensemble):
    name, content = written(ensemble, ensemble, "--run", 1, "--cut", "iteration_1", "--notes", "mine")
    assert name == "cluster_mapping_run_1_iteration_1.json"
    assert NewerFile.model_validate(content).model_dump() == {
        "clustering_run_id": "model/demo/run_1",
        "notes": "mine",
        "spd_run": "e/p/s-12345678",
        "iteration": 1,
        "clusters": {"a:0": 0, "a:1": 0, "b:0": None, "b:1": 2, "b:2": 2},
    }


def test_the_consensus_holds_what_most_runs_join(ensemble):
    name, content = written(ensemble, ensemble)
    assert name == "cluster_mapping_consensus_least_mdl.json"
    found = NewerFile.model_validate(content)
    assert found.iteration == 1
    assert found.clustering_run_id == "model/demo/consensus"
    assert found.clusters == {"a:0": 0, "a:1": 0, "b:0": 1, "b:1": 1, "b:2": None}


def test_the_older_viewer_s_file_names_the_ensemble_and_the_run(ensemble):
    _, content = written(ensemble, ensemble, "--run", 2, "--viewer", "ensemble")
    assert OlderFile.model_validate(content).run_idx == 2
    _, content = written(ensemble, ensemble, "--viewer", "ensemble", "--cut", "groups_4")
    found = OlderFile.model_validate(content)
    assert (found.run_idx, found.ensemble_id, found.n_iterations) == (-1, "model/demo/consensus", 0)


def test_a_history_file_by_itself_needs_the_model(ensemble, tmp_path):
    file = tmp_path / "h.zip"
    file.write_bytes((ensemble / "runs/run_0/history.zip").read_bytes())
    name, content = written(tmp_path, file, "--model", "some/folder", "--cut", "groups_3")
    assert name == "cluster_mapping_h_groups_3.json"
    assert (content["spd_run"], content["iteration"]) == ("some/folder", 1)


def test_mapping_and_merge_array_agree_on_the_reference_s_ensemble(oracle, tmp_path):
    theirs = oracle / "ensemble_resid_mlp1-shared_fixed_iters"
    histories = load_merge_histories([theirs / f"history_{run}.zip" for run in range(6)])
    with np.load(theirs / "ensemble_merge_array.npz") as stored:
        row = stored["merge_array"][3, 20]
    labels = normalize_ensemble(histories).labels
    _, content = written(
        tmp_path, theirs / "history_3.zip", "--model", "m", "--cut", "iteration_20",
        "--output", tmp_path / "out.json",
    )  # fmt: skip
    alone = {group for group, size in zip(*np.unique(row, return_counts=True), strict=True) if size == 1}
    expected = dict(zip(labels, row.tolist(), strict=True))
    for label, group in content["clusters"].items():
        assert group == (None if expected[label] in alone else expected[label])


def test_an_unknown_viewer_is_one_line():
    with pytest.raises(
        InputError, match=r"^viewer: unknown viewer \(found: x; allowed: run, ensemble, param-decomp\)$"
    ):
        mapping_record({}, made_by="a", model="m", iteration=0, viewer="x")
