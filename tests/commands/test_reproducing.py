"""Results say what made them, are made again from that, and what differs is named."""

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from language import CHECKPOINT, TEXTS, TOKENIZER, write_jsonl

from spdclust.commands.cli import main
from spdclust.commands.comparing import compare_files, compare_histories
from spdclust.config.merge import MergeConfig
from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.code_fingerprint import stage_fingerprint
from spdclust.core.errors import InputError
from spdclust.example_ensemble import example_history
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import write_archive
from spdclust.files.histories import load_merge_history, save_merge_history
from spdclust.files.summaries import read_registered
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.merging import merge_iteration
from spdclust.pipeline import cluster_analysis_pipeline
from spdclust.sampling.batch_sampling import request_digest

MODEL = "resources/resid_mlp1"
TOY = {
    "model_path": MODEL,
    "n_tokens": 64,
    "device": "cpu",
    "merge_config": {"iters": 6, "recompute_costs_every": 3, "activation_threshold": 0.1},
}
DENSE = np.random.default_rng(3).random((40, 8), dtype=np.float32).round(2)


def made(folder, settings, *arguments):
    """The history of a run made on the command line."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "made.yaml").write_text(yaml.safe_dump(settings))
    command = ["run", "--config", str(folder / "made.yaml"), "--output", str(folder), *arguments]
    assert main(command) == 0
    return folder / "history.zip"


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return made(tmp_path_factory.mktemp("toy"), TOY, "--seed", "2", "--base-seed", "5")


@pytest.fixture
def language(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    settings = {
        "model_path": CHECKPOINT,
        "device": "cpu",
        "batch_size": 4,
        "n_tokens": 60,
        "dataset": {"name": str(write_jsonl(tmp_path / "data.jsonl")), "tokenizer": TOKENIZER},
        "merge_config": {"iters": 4},
    }
    place = tmp_path / "results" / "lm" / "demo"
    history = made(place / "runs" / "run_0", settings)
    (place / "clustering_run_config.json").write_text(json.dumps(settings))
    return history, tmp_path / "data.jsonl"


def reproduce(capsys, *arguments):
    """Exit code, what was printed, and the one line of an error."""
    capsys.readouterr()
    code = main(["reproduce", *map(str, arguments)])
    said = capsys.readouterr()
    errors = [line for line in said.err.splitlines() if line.startswith("Error:")]
    return code, said.out, errors[0] if errors else ""


def verdicts(text):
    found = (line.split("  ", 1) for line in text.splitlines())
    kinds = ("equal", "same numbers", "differs")
    return {each[1].split()[0]: each[0] for each in found if each[0] in kinds}


def test_a_history_says_what_made_it(toy):
    provenance = load_merge_history(toy).provenance
    assert provenance["seed"] == [5, 2]
    assert provenance["batch_seeds"] == [2000, 2001]
    assert len(set(provenance["batches"])) == len(set(provenance["inputs"])) == 2
    assert provenance["checkpoint_digest"].startswith("39cb7510")
    assert provenance["code"] == {
        stage: stage_fingerprint(stage) for stage in ("precompute_batches", "merge")
    }
    assert provenance["sampling"] == json.loads(json.dumps(ClusteringRunConfig(**TOY).sampling()))
    assert "git" not in provenance


def test_a_toy_history_is_made_again_byte_by_byte(toy, capsys):
    code, said, _ = reproduce(capsys, toy, "--check")
    assert code == 0
    assert set(verdicts(said).items()) == {
        (name, "equal") for name in ("batch_0.pt", "batch_1.pt", "history.zip", "metrics.csv")
    }
    assert said.endswith("reproduced byte for byte\n")


def test_the_printed_settings_and_commands_make_the_same_bytes(toy, tmp_path, capsys):
    _, said, _ = reproduce(capsys, toy, "--write", tmp_path / "run.yaml")
    printed = said.split("run.yaml:\n")[1].split("\n\ncommands:")[0]
    assert yaml.safe_load(printed) == yaml.safe_load((tmp_path / "run.yaml").read_text())
    commands = [line.strip() for line in said.split("commands:\n")[1].splitlines() if "spdclust" in line]
    run(commands, tmp_path)
    assert (tmp_path / "again" / "history.zip").read_bytes() == toy.read_bytes()


def run(commands, folder):
    for command in commands:
        words = shlex.split(command)
        assert words.pop(0) == "spdclust"
        places = ("run.yaml", "again", "drawn")
        here = [str(folder / word) if word.split("/")[0] in places else word for word in words]
        assert main(here) == 0


def test_batches_merged_with_the_seed_of_another_run_take_two_commands(toy, tmp_path, capsys):
    (tmp_path / "made.yaml").write_text(yaml.safe_dump(TOY))
    common = ["--config", str(tmp_path / "made.yaml")]
    batches = str(tmp_path / "b")
    assert main(["run", *common, "--seed", "1", "--batches", batches, "--output", batches]) == 0
    assert (
        main(["merge", str(tmp_path / "b" / "run_1"), *common, "--seed", "7", "--output", str(tmp_path)]) == 0
    )
    history = tmp_path / "history.zip"
    assert load_merge_history(history).provenance["batch_seeds"] == [1000, 1001]
    code, said, _ = reproduce(capsys, history, "--check", "--write", tmp_path / "run.yaml")
    assert code == 0
    assert verdicts(said)["history.zip"] == "equal"
    commands = [
        line.strip() for line in said.splitlines() if line.strip().startswith("spdclust ") and "--" in line
    ]
    assert len(commands) == 2
    run(commands, tmp_path)
    assert (tmp_path / "again" / "history.zip").read_bytes() == history.read_bytes()


def test_a_model_that_is_gone_or_another_one_is_one_line(tmp_path, capsys, monkeypatch):
    shutil.copytree(MODEL, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    history = made(tmp_path / "made", TOY | {"model_path": "model"})
    (tmp_path / "model").rename(tmp_path / "moved")
    code, _, error = reproduce(capsys, history, "--check")
    assert code == 1
    assert error.startswith("Error: model: model_path: no such file or folder")
    code, said, _ = reproduce(capsys, history, "--check", "--model", "moved")
    assert code == 0
    assert verdicts(said)["history.zip"] == "equal"
    with (tmp_path / "moved" / "final_config.yaml").open("a") as file:
        file.write("\n# changed\n")
    code, _, error = reproduce(capsys, history, "--check", "--model", "moved")
    assert code == 1
    assert "moved: checkpoint_digest: not the checkpoint that the history was made from (found: " in error
    assert "allowed: 39cb7510a455b9e9; --model with its path)" in error


def test_absolute_paths_are_left_out_and_found_again(tmp_path, capsys):
    history = made(tmp_path / "r" / "e" / "runs" / "run_0", TOY | {"model_path": str(Path(MODEL).absolute())})
    assert os.fsencode(Path(MODEL).absolute()) not in history.read_bytes()
    assert load_merge_history(history).provenance["sampling"]["model_path"] == ".../resid_mlp1"
    code, said, error = reproduce(capsys, history, "--check")
    assert code == 1
    assert "model_path: was an absolute path; only its last component is recorded" in error
    assert "model_path was an absolute path" in said
    assert reproduce(capsys, history, "--check", "--model", MODEL)[0] == 0
    settings = TOY | {"model_path": str(Path(MODEL).absolute())}
    (tmp_path / "r" / "e" / "clustering_run_config.json").write_text(json.dumps(settings))
    code, said, _ = reproduce(capsys, history, "--check")
    assert code == 0
    assert verdicts(said)["history.zip"] == "equal"


def test_a_language_model_is_run_again_on_its_data_and_other_data_are_named(language, capsys):
    history, data = language
    assert str(data).encode() not in history.read_bytes()
    code, said, _ = reproduce(capsys, history, "--check")
    assert code == 0
    assert verdicts(said)["history.zip"] == "equal"
    write_jsonl(data, [text.replace("text", "line") for text in TEXTS])
    code, said, error = reproduce(capsys, history, "--check")
    assert code == 1
    assert "batch_0.pt (the inputs of the model, from " in said
    assert "the reproduction differs (found: batch_0.pt" in error
    data.unlink()
    code, _, error = reproduce(capsys, history, "--check")
    assert code == 1
    assert "dataset.name: no such file or folder" in error


def test_data_of_the_same_name_with_other_contents_ask_for_another_batch(tmp_path):
    config = ClusteringRunConfig.model_validate(
        {"model_path": "m", "dataset": {"name": str(write_jsonl(tmp_path / "data.jsonl"))}}
    )
    before = request_digest(config, 0, "")
    assert request_digest(config, 0, "") == before
    write_jsonl(tmp_path / "data.jsonl", TEXTS[1:])
    assert request_digest(config, 0, "") != before
    before = request_digest(config, 0, "")
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.copy(tmp_path / "data.jsonl", tmp_path / "elsewhere")
    there = config.model_copy(update={"dataset": config.dataset.model_copy(update={"name": str(moved)})})
    assert request_digest(there, 0, "") == before


def test_activations_of_ones_own_are_merged_again_and_changed_ones_are_named(tmp_path, capsys):
    own = tmp_path / "own"
    own.mkdir()
    np.save(own / "latents.npy", DENSE)
    settings = {
        "precomputed_activations_dir": str(own),
        "merge_config": {"iters": 3, "activation_threshold": 0.5},
    }
    history = made(tmp_path / "made", settings)
    assert load_merge_history(history).provenance["sampling"]["precomputed_activations_dir"] == ".../own"
    code, said, _ = reproduce(capsys, history, "--check", "--model", own)
    assert code == 0
    assert verdicts(said) == {"batch_0.pt": "equal", "history.zip": "equal", "metrics.csv": "equal"}
    np.save(own / "latents.npy", DENSE[::-1])
    code, _, error = reproduce(capsys, history, "--check", "--model", own)
    assert code == 1
    assert "latents.npy: digest: not the activations that the history was made from" in error


def test_batches_made_by_hand_are_asked_for(tmp_path, capsys):
    batches = tmp_path / "batches"
    ActivationBatch.from_dense(DENSE, [f"m:{i}" for i in range(8)], seed=4).save(batches / "batch_0.pt")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(TOY | {"merge_config": {"iters": 3}}))
    arguments = ["--config", str(tmp_path / "run.yaml"), "--output", str(tmp_path)]
    assert main(["merge", str(batches), *arguments]) == 0
    code, said, error = reproduce(capsys, tmp_path / "history.zip", "--check")
    assert code == 1
    assert "spdclust merge BATCHES --config run.yaml --run 0 --base-seed 0" in said
    assert "has no record of the origin of its batches (allowed: --batches with the folder" in error
    code, said, _ = reproduce(capsys, tmp_path / "history.zip", "--check", "--batches", batches)
    assert code == 0
    assert verdicts(said)["history.zip"] == "equal"
    ActivationBatch.from_dense(DENSE[:20], [f"m:{i}" for i in range(8)], seed=4).save(batches / "batch_0.pt")
    assert reproduce(capsys, tmp_path / "history.zip", "--check", "--batches", batches)[0] == 1


def test_a_history_made_in_python_says_what_it_can(tmp_path, capsys):
    labels = [f"m:{i}" for i in range(8)]
    history = merge_iteration(ProcessedActivations.from_dense(DENSE, labels), MergeConfig(iters=3), seed=9)
    save_merge_history(history, tmp_path / "h.zip")
    code, said, _ = reproduce(capsys, tmp_path / "h.zip")
    assert code == 0
    assert "merge_iteration(activations, config, seed=9)" in said
    ActivationBatch.from_dense(DENSE, labels).save(tmp_path / "b" / "batch_0.pt")
    code, said, _ = reproduce(capsys, tmp_path / "h.zip", "--check", "--batches", tmp_path / "b")
    assert (code, verdicts(said)) == (0, {"h.zip": "equal"})
    save_merge_history(
        replace(history, provenance={"source": "reference implementation"}), tmp_path / "r.zip"
    )
    code, _, error = reproduce(capsys, tmp_path / "r.zip")
    assert code == 1
    assert "r.zip: seed: has no record of its origin (found: reference implementation" in error


def test_what_differs_is_named(toy, tmp_path):
    history = load_merge_history(toy)
    other = tmp_path / "other.zip"
    save_merge_history(replace(history, provenance=history.provenance | {"spdclust": "0.0.9"}), other)
    found = compare_histories(other, toy, "history.zip")
    assert (found.same_bytes, found.same_numbers) == (False, True)
    assert found.records == [f"spdclust: 0.0.9, now {history.provenance['spdclust']}"]
    pairs = history.selected_pairs.copy()
    pairs[3] = pairs[3] + [0, 1]
    save_merge_history(replace(history, selected_pairs=pairs, mdl_loss=history.mdl_loss + 1), other)
    found = compare_histories(other, toy, "history.zip")
    assert found.numbers == ["merges after the first 3", "mdl_loss"]
    assert not found.same_numbers


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A working folder under git with the model in it."""
    shutil.copytree(MODEL, tmp_path / "clone" / "model")
    monkeypatch.chdir(tmp_path / "clone")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run(["git", "-c", "user.email=a@b", "-c", "user.name=a", *command], check=True)
    return tmp_path / "clone"


@pytest.mark.slow
def test_the_commit_is_recorded_where_asked_and_the_registry_takes_it_from_the_histories(clone, capsys):
    run = ClusteringRunConfig.model_validate(TOY | {"model_path": "model"})
    pipeline = ClusteringPipelineConfig(clustering_run_config=run, n_runs=2, create_git_snapshot=True)
    first = cluster_analysis_pipeline(pipeline, results="results")
    second = cluster_analysis_pipeline(pipeline, results="again")
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert [each.provenance["git"] for each in first.histories] == 2 * [{"commit": commit, "dirty": False}]
    files = [path.relative_to("results") for path in Path("results").rglob("*") if path.is_file()]
    assert [
        path for path in files if (Path("again") / path).read_bytes() != (Path("results") / path).read_bytes()
    ] == []
    (registered,) = read_registered("results")
    assert (registered["git_commit"], registered["git_dirty"]) == (commit, 0)
    meta = json.loads((second.folder / "ensemble_meta.json").read_text())["provenance"]
    assert meta["git"]["commit"] == commit
    assert list(meta["runs"]) == list(meta["histories"]) == ["run_0", "run_1"]
    assert meta["runs"]["run_1"]["batch_seeds"] == [1000, 1001]
    with np.load(second.folder / "distances_perm_invariant_hamming.npz") as stored:
        assert json.loads(str(stored["provenance"]))["histories"] == meta["histories"]
    assert (
        json.loads((second.folder / "stability.json").read_text())["provenance"]["histories"]
        == meta["histories"]
    )
    code, said, _ = reproduce(capsys, first.folder, "--check")
    assert code == 0
    assert said.endswith("reproduced byte for byte\n")
    # a commit later the numbers are the same
    (clone / "model" / "README.md").write_text("changed")
    subprocess.run(["git", "add", "."], check=True)
    code, said, _ = reproduce(capsys, first.folder / "runs" / "run_0" / "history.zip", "--check")
    assert code == 0
    assert "same numbers  history.zip (git.dirty: False, now True)" in said


def test_files_that_say_the_same_of_other_making_have_the_same_numbers(tmp_path):
    first, second, third = (tmp_path / f"{name}.npz" for name in "abc")
    write_archive(first, {"x.npy": np.zeros((2, 3)), "provenance.npy": np.array("{}")})
    write_archive(second, {"x.npy": np.zeros((2, 3)), "provenance.npy": np.array('{"code": 1}')})
    write_archive(third, {"x.npy": np.zeros((3, 2))})
    assert compare_files(first, first, "a").same_bytes
    assert compare_files(first, second, "a").same_numbers
    assert not compare_files(first, third, "a").same_numbers


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_damaged_file_to_compare_is_one_line(tmp_path, suffix):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    first.write_text("{" if suffix == ".json" else "PK")
    second.write_text("")
    with pytest.raises(InputError, match="not JSON" if suffix == ".json" else "not a readable") as caught:
        compare_files(first, second, "a")
    assert "\n" not in str(caught.value)


def written(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".zip", ".csv")}


@pytest.mark.parametrize(
    ("settings", "numbers", "found"),
    [
        ({}, ["--run", "3", "--base-seed", "5"], "run: 2, now 3"),
        ({}, ["--run", "2"], "base_seed: 5, now 0"),
        ({"n_tokens": 32}, ["--run", "2", "--base-seed", "5"], "sampling.n_tokens: 64, now 32"),
        (
            {"merge_config": TOY["merge_config"] | {"iters": 5}},
            ["--run", "2", "--base-seed", "5"],
            "merge_config.iters: 6, now 5",
        ),
    ],
)
def test_a_run_does_not_replace_the_history_of_another_one(
    toy, settings, numbers, found, tmp_path, capsys, monkeypatch
):
    before = written(toy.parent)
    (tmp_path / "made.yaml").write_text(yaml.safe_dump(TOY | settings))
    # nothing is sampled
    monkeypatch.setattr("spdclust.sampling.precompute.precompute_batches_for_ensemble", None)
    command = ["run", "--config", str(tmp_path / "made.yaml"), "--output", str(toy.parent), *numbers]
    assert main(command) == 1
    assert capsys.readouterr().err == (
        f"Error: {toy}: would be replaced (found: another history, with {found}; "
        "allowed: another --output, or remove that file first)\n"
    )
    assert written(toy.parent) == before


def test_a_run_can_be_repeated(toy):
    before = written(toy.parent)
    assert written(made(toy.parent, TOY, "--run", "2", "--base-seed", "5").parent) == before


def test_where_the_data_are_does_not_make_another_run(tmp_path, monkeypatch):
    labels = [f"m:{i}" for i in range(8)]
    own = tmp_path / "acts"
    ActivationBatch.from_dense(DENSE, labels, seed=4).save(own / "batch_0.pt")
    (tmp_path / "again").symlink_to(own)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    for place, config, device in (
        ("acts", "run.yaml", "cpu"), (str(own), "run.yaml", "auto"), ("../acts", "elsewhere/run.yaml", "cpu"),
        ("again", "run.yaml", "cpu"),
    ):  # fmt: skip
        settings = {"precomputed_activations_dir": place, "device": device, "merge_config": {"iters": 3}}
        Path(config).write_text(yaml.safe_dump(settings))
        assert main(["run", "--config", config, "--output", "made"]) == 0
    ActivationBatch.from_dense(DENSE[1:], labels, seed=4).save(own / "batch_0.pt")
    assert main(["run", "--config", "run.yaml", "--output", "made"]) == 1


def test_an_import_does_not_replace_other_settings(tmp_path, capsys):
    history, config = tmp_path / "history.zip", MergeConfig(activation_threshold=None)
    unknown = {"not_stated": ["activation_threshold"]}
    save_merge_history(replace(example_history(), config=config, provenance=unknown), history)
    command = ["import", str(history), "--output", str(tmp_path)]
    stated = [*command, "--setting", "activation_threshold=0.1"]
    assert [main(each) for each in (command, stated, stated)] == [0, 0, 0]
    for other, now in (([*command, "--setting", "activation_threshold=0.9"], "0.9"), (command, "nothing")):
        assert main(other) == 1
        assert f"merge_config.activation_threshold: 0.1, now {now};" in capsys.readouterr().err


def test_a_merge_of_other_batches_does_not_replace_a_history(tmp_path, capsys):
    labels = [f"m:{i}" for i in range(8)]
    for name, rows in (("a", DENSE), ("b", DENSE[:20])):
        ActivationBatch.from_dense(rows, labels, seed=4).save(tmp_path / name / "batch_0.pt")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(TOY | {"merge_config": {"iters": 3}}))
    common = ["--config", str(tmp_path / "run.yaml"), "--output", str(tmp_path)]
    for name, code in (("a", 0), ("a", 0), ("b", 1)):
        assert main(["merge", str(tmp_path / name), *common]) == code
    assert (
        "history.zip: would be replaced (found: another history, with batches.0: " in capsys.readouterr().err
    )


def test_a_run_does_not_replace_a_file_that_is_no_history(tmp_path, capsys):
    (tmp_path / "history.zip").write_bytes(b"mine")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(TOY))
    assert main(["run", "--config", str(tmp_path / "run.yaml"), "--output", str(tmp_path)]) == 1
    assert "history.zip: would be replaced (found: not a readable history.zip; " in capsys.readouterr().err
    assert (tmp_path / "history.zip").read_bytes() == b"mine"


def test_export_and_import_do_not_replace_other_merges(toy, tmp_path, capsys):
    other = tmp_path / "other.zip"
    save_merge_history(example_history(), other)
    for history, code in ((toy, 0), (other, 1), (toy, 0)):
        assert main(["export", str(history), "--output", str(tmp_path / "full.zip")]) == code
        # settings may be given later
        assert main(["import", str(history), "--output", str(tmp_path / "ensemble")]) == code
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all("would be replaced (found: another history, with labels: " in line for line in errors)


def test_other_names_of_as_many_components_are_named(tmp_path, capsys):
    history = example_history()
    renamed = replace(history, labels=[f"x.{label}" for label in history.labels])
    for number, each in enumerate((history, renamed)):
        save_merge_history(each, tmp_path / f"{number}.zip")
    command = ["export", "--output", str(tmp_path / "full.zip")]
    assert main([*command, str(tmp_path / "0.zip")]) == 0
    assert main([*command, str(tmp_path / "1.zip")]) == 1
    assert "with labels: attn:0, now x.attn:0;" in capsys.readouterr().err
