"""Batches in the workflow: temporary ones, and data of one's own."""

import json
import re

import numpy as np
import pytest
from forked_python import python
from scipy import sparse
from workflow import REPOSITORY, RUN, Workflow

from spdclust.commands.cli import main
from spdclust.files.activation_batch import ActivationBatch


@pytest.mark.slow
def test_temporary_batches_go_when_merges_and_groups_have_read_them(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    workflow.write("config/runs/small.yaml", RUN | {"keep_batches": False})
    # the groups too: their evidence cannot be had once the batches were deleted
    assert workflow.due("histories") == {
        "precompute_batches": 2, "merge": 2, "groups": 1, "histories": 1,
    }  # fmt: skip
    outcome = workflow.run("histories")
    assert outcome.code == 0, outcome.output
    names = workflow.results()
    assert "small/tiny/runs/run_1/history.zip" in names
    assert not [name for name in names if "precomputed_batches" in name]
    assert json.loads(names["small/tiny/groups.json"])["bits"]["alone"] > 0
    assert workflow.due("histories") == {}
    assert not {"merge", "groups", "precompute_temporary_batches"} & set(workflow.due("ensembles"))


BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    """The page on SAE latents, done as it says."""
    workflow = Workflow.create(tmp_path_factory.mktemp("latents") / "w")
    page = (REPOSITORY / "docs" / "sae-latents.md").read_text()
    said = []
    for language, text in BLOCK.findall(page):
        if language == "yaml":
            (workflow.folder / text.split("\n")[0].removeprefix("# ")).write_text(text)
        elif language == "python":
            done = python("-c", text, cwd=workflow.folder)
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
        else:
            arguments = [word.strip("'") for word in text.split()]
            assert arguments[:3] == ["snakemake", "--cores", "2"]
            outcome = workflow.run("histories", *arguments[3:])  # what follows them is tested elsewhere
            assert outcome.code == 0, outcome.output
    return workflow, page, said


def test_the_page_on_sae_latents_works_when_copied(latents):
    _, page, said = latents
    assert said[-1].count("\n") == 4
    for line in said[-1].splitlines():
        assert f"    {line}\n" in page
    assert {"15"} == set(re.findall(r"run \d: (\d+) groups", said[-1]))


def test_groups_of_latents_are_described_by_the_tokens_next_to_them(latents, monkeypatch, capsys):
    workflow, page, _ = latents
    monkeypatch.chdir(workflow.folder)
    command, shown = re.search(r"    \$ spdclust (examples .*)\n((?:    .+\n)+)", page).groups()
    assert main(command.split()) == 0
    assert capsys.readouterr().out == shown.replace("    ", "")
    words = re.search(r'WORDS = "(.*)"', page)[1].split()
    assert main([*command.split()[:2], "--limit", "15"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    # each group is one concept, and the word of it tells the group apart best
    assert sorted(re.findall(r"; ' (\w+)' \d+/\d+", line)[0] for line in lines) == sorted(words)


def test_batches_of_ones_own_files_become_due_with_them(latents):
    workflow, _, _ = latents
    workflow.write("config/config.yaml", {"pipelines": ["config/pipelines/sae.yaml"]})
    assert workflow.due("histories") == {}
    own = workflow.folder / "my_latents" / "run_2" / "latents.npz"
    sparse.save_npz(own, 2 * sparse.load_npz(own))
    assert workflow.due("histories") == {"precompute_batches": 1, "merge": 1, "histories": 1}
    (workflow.folder / "my_latents" / "run_3" / "latents.npz").unlink()
    outcome = workflow.run("-n")
    assert outcome.code != 0
    assert "no activations in this folder" in outcome.output
    assert "Traceback" not in outcome.output


def test_each_run_reads_the_files_that_the_setting_gives_it(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    parts = [(np.random.default_rng(run).random((30, 4)) < 0.5).astype(np.float32) for run in range(2)]
    (workflow.folder / "parts").mkdir()
    for run, part in enumerate(parts):
        np.save(workflow.folder / f"parts/part_{run}.npy", part)
    (workflow.folder / "parts/._part_0.npy").write_bytes(b"\0\5\26\7")
    np.save(workflow.folder / "parts/attention_mask.npy", np.ones((5, 6), dtype=np.int64))
    settings = {"precomputed_activations_dir": "parts", "merge_config": {"iters": 2}}
    workflow.write("config/runs/small.yaml", settings)
    outcome = workflow.run("-n")
    assert outcome.code != 0
    assert "shards: cannot tell whether these files are batches" in outcome.output
    assert "Traceback" not in outcome.output

    workflow.write("config/runs/small.yaml", settings | {"shards": "part_{run}.npy"})
    outcome = workflow.run("batches")
    assert outcome.code == 0, outcome.output
    for run, part in enumerate(parts):
        batch = ActivationBatch.load(
            workflow.folder / f"results/small/precomputed_batches/run_{run}/batch_0.pt"
        )
        np.testing.assert_array_equal(batch.matrix.toarray(), part)
        log = (workflow.folder / f"results/logs/small/precompute_batches/run_{run}.log").read_text()
        assert f"run {run}, batch 0: parts/part_{run}.npy" in log
        assert "not read in parts: attention_mask.npy (does not match part_{run}.npy)" in log
    assert workflow.due("batches") == {}
    np.save(workflow.folder / "parts/part_1.npy", parts[0])
    assert workflow.due("batches") == {"batches": 1, "precompute_batches": 1}
