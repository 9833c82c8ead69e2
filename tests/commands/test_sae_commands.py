"""Every command of docs/command-line.md works on the ensemble of docs/sae-latents.md, which has no model."""

import glob
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from command_page import shown
from workflow import REPOSITORY

from spdclust.commands.cli import main
from spdclust.files.histories import load_merge_histories
from spdclust.pipeline import cluster_analysis_pipeline

NOT_ON_AN_ENSEMBLE = {"init", "workflow", "watch"}
HERE = {
    "results/resid_mlp1/demo-alpha~0.5": "results/sae_half/sae_half",
    "results/resid_mlp1/sweep-alpha~*": "results/sae*/sae*",
    "results/resid_mlp1/sweep": "results/compared",
    "results/resid_mlp1/demo": "results/sae/sae",
    "results/lm_llama2L/demo_lm": "results/sae/sae",
    "config/runs/resid_mlp1.yaml": "config/runs/sae.yaml",
    "config/pipelines/demo.yaml": "config/pipelines/sae.yaml",
    "--n-groups 80": "--n-groups 15",
}
"""What a user puts in place of the names on the page."""


def blocks(page: str) -> list[str]:
    return re.findall(r"```(?:python|yaml)\n(.*?)```", (REPOSITORY / "docs" / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do what the page on SAE latents says, with fewer tokens and without the figures."""
    folder = tmp_path_factory.mktemp("latents")
    save, pipeline, _ = blocks("sae-latents.md")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(
            save.replace("N_TOKENS, N_LATENTS, N_CONCEPTS = 4000", "N_TOKENS, N_LATENTS, N_CONCEPTS = 800"),
            {},
        )
        settings = yaml.safe_load(pipeline)
        half = yaml.safe_load(pipeline)
        half["clustering_run_config"]["merge_config"]["alpha"] = 0.5
        for name, content in {
            "pipelines/sae": settings,
            "pipelines/sae_half": half,
            "runs/sae": settings["clustering_run_config"],
        }.items():
            path = Path(f"config/{name}.yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(content))
        Path("config/config.yaml").write_text(yaml.safe_dump({"pipelines": ["config/pipelines/sae.yaml"]}))
        for name in ("sae", "sae_half"):
            cluster_analysis_pipeline(Path(f"config/pipelines/{name}.yaml"))
        Path("theirs").mkdir()
        for run in range(2):
            shutil.copy(f"results/sae/sae/runs/run_{run}/history.zip", f"theirs/history_{run}.zip")
    return folder


def words_here(words: list[str]) -> list[str]:
    line = shlex.join(words).replace("'", "")
    for there, here in HERE.items():
        line = line.replace(there, here)
    expanded = [sorted(glob.glob(word)) if "*" in word else [word] for word in line.split()]
    return [word for each in expanded for word in each]


def test_every_command_of_the_page_works_on_latents(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    failed, done = [], set()
    for words in shown("spdclust"):
        if words[0] in NOT_ON_AN_ENSEMBLE:
            continue
        code, said = main(words_here(words)), capsys.readouterr()
        if code:
            failed.append((" ".join(words_here(words)), code, said.err))
        done.add(words[0])
    assert failed == []
    assert len(done) >= 18


@pytest.mark.parametrize(
    "arguments", [[], ["--cut", "stability_drop"], ["--run", "1"], ["--viewer", "ensemble"]]
)
def test_a_mapping_of_latents_names_no_model(
    made: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(made)
    assert main(["mapping", "results/sae/sae", *arguments, "--output", "mapping.json"]) == 0
    record = json.loads(Path("mapping.json").read_text())
    assert record["spd_run"] == ""
    assert set(record["clusters"]) <= set(load_merge_histories("results/sae/sae")[0].labels)
    assert (
        main(["mapping", "results/sae/sae", *arguments, "--output", "mapping.json", "--model", "mine"]) == 0
    )
    assert json.loads(Path("mapping.json").read_text())["spd_run"] == "mine"


def test_a_match_of_latents_has_no_weights_to_compare(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made)
    assert main(["match", "results/sae/sae", "results/sae_half/sae_half"]) == 0
    line = "weights are not compared: results/sae/sae: no model: its activations are user-supplied"
    assert line in capsys.readouterr().out.splitlines()
