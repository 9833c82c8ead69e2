"""The workflow as its users run it: what is made, what becomes due, what bad input says."""

import hashlib
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
import torch
from workflow import PIPELINE, REPOSITORY, RUN, Workflow, server

from spdclust.commands.cli import main
from spdclust.files.batches import ActivationBatch
from spdclust.files.ensembles import ensemble_record, load_distance_rows, load_distances
from spdclust.files.histories import load_merge_histories
from spdclust.pipeline import cluster_analysis_pipeline

TINY = "results/small/tiny"
FIGURE = f"{TINY}/plots/distances_perm_invariant_hamming.png"
ACTIVATIONS = ("raw", "sorted", "coactivation", "log_coactivation", "histograms")


def test_all_files_of_the_contract_are_made(finished):
    names = set(finished[0].results())
    for name in [
        *(f"small/precomputed_batches/run_{run}/batch_0.pt" for run in (0, 1)),
        *(f"small/tiny/runs/run_{run}/{file}" for run in (0, 1) for file in ("history.zip", "metrics.csv")),
        *(f"small/tiny/{file}" for file in ("pipeline_config.yaml", "clustering_run_config.json")),
        *(
            f"small/tiny/{file}"
            for file in (
                "ensemble_meta.json",
                "ensemble_merge_array.npz",
                "summary.json",
                "registered.json",
                "explorer.html",
                "groups.csv",
                "groups.json",
                "groups.nwk",
                "cluster_mapping_groups.json",
            )
        ),
        "ensemble_registry.db",
        "small/tiny/stability.json",
        "small/tiny/stability_coclustering.npz",
        *(f"small/tiny/stability_{table}.csv" for table in ("iterations", "sizes", "components", "groups")),
        *(f"small/tiny/cluster_mapping_consensus_{cut}.json" for cut in ("least_mdl", "stability_drop")),
        *(f"small/tiny/distances_{method}.npz" for method in PIPELINE["distances_methods"]),
        *(
            f"small/tiny/plots/{figure}.{suffix}"
            for figure in (
                "groups",
                "groups_tree",
                "mdl",
                "cluster_sizes",
                "distances_matching_dist",
                "stability",
                "contested",
                "coclustering",
                "consensus",
                "merge_tree_run_0",
                "merge_state_run_0_least_mdl",
                "runs_perm_invariant_hamming",
            )
            for suffix in ("png", "pdf")
        ),
        *(f"small/plots/activations_run_0_{figure}.pdf" for figure in ACTIVATIONS),
    ]:
        assert name in names
    assert not [name for name in names if ".tmp" in name]


def test_a_copied_process_plans_and_prints_what_one_from_the_command_line_does(copied):
    """Most tests start the workflow by copies of one process (`forked_snakemake`)."""
    assert server().fits(copied.environment), "a library that tests import changes the environment"
    (copied.folder / FIGURE).unlink()
    for arguments in (["-n", "--", FIGURE], ["-n", "--", "results/nowhere"]):
        outcomes = []
        for copied.forked in (True, False):
            outcome = copied.run(*arguments)
            timeless = re.sub(r"\[\w+ \w+ +\d+ [\d:]+ \d+\]|(Date|Workflow ID): .*", "", outcome.output)
            outcomes.append((outcome.code, timeless.splitlines()))
        assert outcomes[0] == outcomes[1]
        assert any(arguments[-1] in line for line in outcomes[0][1])
        assert len(outcomes[0][1]) >= 2  # the profile, and the plan or one line of an error


def test_it_ends_by_saying_what_was_found_and_what_to_open(finished):
    workflow, outcome = finished
    assert f"{TINY}: 2 runs of" in outcome.output
    assert re.search(
        r"\n  \d+ groups? holds? \([\d.]+ expected by chance\), \d+ components belong to none", outcome.output
    )
    assert "all runs agree" in outcome.output
    assert "open next: results/small/tiny/explorer.html" in outcome.output
    assert workflow.due() == {}


def test_the_terminal_has_one_line_per_finished_job_and_the_log_file_everything(finished):
    workflow, outcome = finished
    steps = re.search(r"^(\d+) steps; complete log in .snakemake/log/$", outcome.output, re.MULTILINE)
    before, jobs = (
        outcome.output[: steps.end()],
        outcome.output[steps.end() :].partition("\n\n")[0].split("\n")[1:],
    )
    assert len(before.splitlines()) < 4, before
    assert [line.split("]")[0] for line in jobs] == [
        f"[{n:>{len(steps[1])}}/{steps[1]}" for n in range(1, int(steps[1]) + 1)
    ]
    assert sum(bool(re.search(r"\] merge small/tiny, run [01] \(\d+ s\)$", line)) for line in jobs) == 2
    log = max(
        (workflow.folder / ".snakemake/log").iterdir(), key=lambda path: path.stat().st_size
    ).read_text()
    assert "wildcards: run_config=small, ensemble=tiny, run=1" in log
    assert f"{steps[1]} of {steps[1]} steps (100%) done" in log
    assert outcome.output.rstrip().endswith(
        f"open next: {TINY}/explorer.html"
    )  # nothing after what was found


def test_where_nothing_is_left_to_do_it_says_so_and_what_was_found(finished):
    output = finished[0].run().output
    assert "Nothing to be done" in output
    assert output.rstrip().endswith(f"open next: {TINY}/explorer.html")


def test_all_of_snakemakes_output_is_there_where_it_is_asked_for(copied):
    figure = copied.folder / FIGURE
    figure.unlink()
    output = copied.run("--verbose", "--", FIGURE).output
    assert "rule plot_distances:" in output
    assert "[1/1]" not in output


def test_files_agree_with_each_other(finished):
    folder = finished[0].folder / TINY
    histories = load_merge_histories(folder)
    with np.load(folder / "ensemble_merge_array.npz") as stored:
        merge_array = stored["merge_array"]
    labels = json.loads((folder / "ensemble_meta.json").read_text())["component_labels"]
    distances = load_distances(folder / "distances_matching_dist.npz")
    assert merge_array.shape == (2, 20, len(labels))
    assert distances.shape == (20, 2, 2)
    for run, history in enumerate(histories):
        own = [labels.index(label) for label in history.labels]
        np.testing.assert_array_equal(merge_array[run, -1, own], history.group_idxs(-1))
    together = merge_array[:, -1, :, None] == merge_array[:, -1, None, :]
    assert distances[-1, 0, 1] == np.triu(together[0] ^ together[1], 1).sum()
    record = json.loads((folder / "groups.json").read_text())
    assert record["settings"]["n_samples"] == [512, 512]
    assert record["provenance"]["histories"] == ensemble_record(folder)["histories"]
    assert json.loads((folder / "summary.json").read_text())["groups"]["n_groups"] == record["n_groups"]
    batch = ActivationBatch.load(finished[0].folder / "results/small/precomputed_batches/run_1/batch_0.pt")
    assert batch.seed == 1000
    assert batch.n_samples == 512


def test_the_command_line_writes_the_same_consensus(finished, tmp_path):
    folder = finished[0].folder / TINY
    for cut in ("least_mdl", "stability_drop"):
        arguments = ["mapping", str(folder), "--cut", cut, "--output", str(tmp_path / "m.json")]
        assert main(arguments) == 0
        made = (folder / f"cluster_mapping_consensus_{cut}.json").read_bytes()
        assert (tmp_path / "m.json").read_bytes() == made


def test_one_figure_by_its_path_makes_what_it_needs_and_nothing_else(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    made = {"precompute_batches": 2, "merge": 2, "distances": 1}
    assert workflow.due(FIGURE) == made | {"plot_distances": 1}
    assert workflow.due(f"{TINY}/distances_matching_dist.npz") == made
    assert workflow.due(f"{TINY}/plots/stability.pdf") == {
        "precompute_batches": 2, "merge": 2, "stability": 1, "plot_stability": 1,
    }  # fmt: skip
    assert workflow.due(f"{TINY}/cluster_mapping_run_1_iteration_7.json") == {
        "precompute_batches": 1, "merge": 1, "map_run": 1,
    }  # fmt: skip


@pytest.mark.slow
def test_scalar_activations_run_to_the_end_without_a_shortest_description(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    merge = RUN["merge_config"] | {"activation_threshold": None}
    workflow.write("config/runs/small.yaml", RUN | {"merge_config": merge})
    outcome = workflow.run()
    assert outcome.code == 0, outcome.output
    assert "least" not in outcome.output.split("2 runs of")[1]
    names = set(workflow.results())
    assert "small/tiny/cluster_mapping_consensus_stability_drop.json" in names
    assert "small/tiny/plots/groups_tree.png" in names
    assert not [name for name in names if "least_mdl" in name]
    folder = workflow.folder / TINY
    assert list(json.loads((folder / "stability.json").read_text())["cuts"]) == ["stability_drop"]
    assert not [key for key in json.loads((folder / "summary.json").read_text()) if "mdl" in key]
    asked = workflow.run(f"{TINY}/cluster_mapping_consensus_least_mdl.json")
    assert asked.code != 0
    assert "description lengths of scalar activations are not meaningful" in asked.output
    candidates = workflow.run(f"{TINY}/plots/merge_candidates_run_0.png")
    assert candidates.code == 0, candidates.output


def test_ensembles_with_other_methods_have_their_own_files_and_no_others(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    other = {"distances_methods": ["jaccard_dist"], "slurm_mem": "300G", "calc_distances": True}
    workflow.write("config/pipelines/other.yaml", PIPELINE | other)
    workflow.write(
        "config/config.yaml", {"pipelines": ["config/pipelines/tiny.yaml", "config/pipelines/other.yaml"]}
    )
    due = workflow.due()
    assert due["distances"] == due["distances_form_2"] == 1
    only = workflow.due("results/small/other/distances_jaccard_dist.npz")
    assert sum(count for rule, count in only.items() if rule.startswith("distances")) == 1
    outcome = workflow.run("-n", "--", f"{TINY}/distances_jaccard_dist.npz")
    assert outcome.code != 0
    assert outcome.output.count("config/pipelines/other.yaml: slurm_mem changes nothing") == 1
    assert "calc_distances" not in outcome.output


def test_a_deleted_figure_is_drawn_again_alone(copied):
    before = copied.results()
    (copied.folder / FIGURE).unlink()
    assert copied.due() == {"plot_distances": 1}
    assert copied.run("--", FIGURE).code == 0
    assert copied.results() == before


def test_the_size_of_figures_makes_figures_due_and_nothing_else(copied):
    pipelines = {"pipelines": ["config/pipelines/tiny.yaml"]}
    copied.write("config/config.yaml", pipelines | {"figures": {"dpi": 70}})
    assert set(copied.due()) == {
        *(
            "plot_activations",
            "plot_curves",
            "plot_distances",
            "plot_found_groups",
            "plot_groups",
            "plot_merge_state",
        ),
        *("plot_merge_tree", "plot_runs", "plot_stability"),
    }
    copied.write("config/config.yaml", pipelines | {"figures": {"dip": 70}})
    one_line(copied.run("-n"), "figures.dip: unknown key (allowed: dpi)")


def test_a_merge_setting_makes_merges_due_and_never_batches(copied):
    for change in (
        {"alpha": 2.0},
        {"merge_pair_sampling_kwargs": {"threshold": 0.2}},
        {"iters": 10},
        {"filter_dead_stat": "mean"},
    ):
        copied.write("config/runs/small.yaml", RUN | {"merge_config": RUN["merge_config"] | change})
        due = copied.due()
        assert due["merge"] == 2
        assert (
            due["distances"] == due["stability"] == due["groups"] == 1
        )  # all methods of an ensemble in one job
        assert "precompute_batches" not in due


def test_more_batches_keep_the_ones_that_are_there(copied):
    first = copied.folder / "results/small/precomputed_batches/run_0/batch_0.pt"
    before = first.stat().st_ino
    copied.write(
        "config/runs/small.yaml",
        RUN | {"merge_config": RUN["merge_config"] | {"recompute_costs_every": 10}},
    )
    outcome = copied.run("--", "results/small/tiny/runs/run_0/history.zip")
    assert outcome.code == 0, outcome.output
    assert first.stat().st_ino == before  # not even written again
    log = copied.folder / "results/logs/small/precompute_batches/run_0.log"
    assert "run_0/batch_0.pt already exists" in log.read_text()
    assert ActivationBatch.load(first.with_name("batch_1.pt")).seed == 1


def test_a_seed_makes_due_what_depends_on_it(copied):
    copied.write("config/pipelines/tiny.yaml", PIPELINE | {"base_seed": 5})
    due = copied.due()
    assert due["merge"] == 2
    assert "precompute_batches" not in due
    copied.write("config/pipelines/tiny.yaml", PIPELINE)
    copied.write("config/runs/small.yaml", RUN | {"dataset_seed": 5})
    assert copied.due()["precompute_batches"] == 2


def test_logging_settings_make_nothing_due_but_the_record_of_the_settings_and_the_logging(copied):
    changed = RUN | {"wandb_project": "p", "logging_intervals": {"stat": 7}}
    copied.write("config/runs/small.yaml", changed)
    assert copied.due() == {"resolve_configuration": 1, "track_run": 2, "track_ensemble": 1}
    copied.write("config/runs/small.yaml", changed | {"wandb_enabled": False})
    assert copied.due() == {"resolve_configuration": 1}


def test_one_more_run_computes_only_that_run(copied):
    copied.write("config/pipelines/tiny.yaml", PIPELINE | {"n_runs": 3})
    due = copied.due()
    assert due["precompute_batches"] == due["merge"] == 1


def test_editing_the_package_makes_due_what_uses_it(copied):
    copied.own_package()

    def edit(module, last):
        path = copied.folder / "src/spdclust" / module
        text = path.read_text()
        assert text.count(last) == 1
        space = last[: len(last) - len(last.lstrip())]
        path.write_text(text.replace(last, f"{space}added_for_the_test = 1\n{last}"))

    edit("commands/cli.py", "    return 0\n")
    assert copied.due() == {}
    edit("plotting/merges.py", "    figure, (counts, sizes) = new_figure(2, size=(6.4, 5.4))\n")
    assert copied.due() == {"plot_curves": 1}
    edit("merge/merging.py", "        return _history(engine, labels, seed)\n")
    due = copied.due()
    assert due["merge"] == 2
    assert "precompute_batches" not in due


@pytest.mark.slow  # an undisturbed run and a killed one are compared in test_killed.py
def test_two_runs_of_the_workflow_give_the_same_bytes(finished, tmp_path):
    again = Workflow.create(tmp_path / "elsewhere")
    assert again.run(cores=1).code == 0
    first, second = finished[0].results(), again.results()
    assert set(first) == set(second)
    assert [name for name in first if first[name] != second[name]] == []


def test_a_stride_compares_fewer_iterations_and_merges_nothing_again(copied):
    copied.write("config/pipelines/tiny.yaml", PIPELINE | {"distances_stride": 6})
    due = copied.due()
    assert due["distances"] == due["stability"] == 1
    assert not {"merge", "precompute_batches", "normalize", "register", "groups"} & set(due)
    whole = load_distances(copied.folder / TINY / "distances_matching_dist.npz")
    target = f"{TINY}/distances_matching_dist.npz"
    outcome = copied.run("--", target)
    assert outcome.code == 0, outcome.output
    iterations, some = load_distance_rows(copied.folder / target)
    assert iterations.tolist() == [0, 6, 12, 18]
    np.testing.assert_array_equal(some, whole[iterations])


def test_the_mapping_of_one_run_is_a_target(copied):
    target, again = (f"{TINY}/cluster_mapping_run_1_{cut}.json" for cut in ("iteration_7", "merges_8"))
    outcome = copied.run("--", target, again)
    assert outcome.code == 0, outcome.output
    found = json.loads((copied.folder / target).read_text())
    history = load_merge_histories(copied.folder / TINY)[1]
    assert (copied.folder / target).read_bytes() == (copied.folder / again).read_bytes()
    groups = history.group_idxs(7)
    assert found["spd_run"] == "resources/resid_mlp1"
    assert found["clustering_run_id"] == "small/tiny/run_1"
    alone = np.bincount(groups)[groups] == 1
    assert list(found["clusters"]) == history.labels
    assert list(found["clusters"].values()) == [
        None if lone else group for group, lone in zip(groups.tolist(), alone, strict=True)
    ]
    outcome = copied.run("--", f"{TINY}/cluster_mapping_run_1_iteration_70.json")
    one_line(
        outcome,
        "Error in map_run:",
        "no such iteration (found: 70; allowed: 0 to 19, the states after 1 to 20 merges)",
    )


def test_the_registry_holds_the_records_that_are_there_and_no_others(copied):
    path = copied.folder / "results" / "ensemble_registry.db"
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        (ensemble,) = database.execute("SELECT * FROM ensembles")
        runs = list(database.execute("SELECT * FROM runs ORDER BY run"))
    assert (ensemble["ensemble"], ensemble["n_runs"], ensemble["git_commit"]) == ("small/tiny", 2, None)
    assert [row["run"] for row in runs] == [0, 1]
    for run, row in enumerate(runs):
        history = copied.folder / "results" / row["history"]
        assert row["digest"] == hashlib.sha256(history.read_bytes()).hexdigest()
        assert (row["merge_seed"], row["batch_seeds"]) == (f"[0, {run}]", f"[{1000 * run}]")
        assert row["n_merges"] == 20
    before = path.read_bytes()
    path.unlink()
    assert copied.due() == {"registry": 1}
    assert copied.run("--", "results/ensemble_registry.db").code == 0
    assert path.read_bytes() == before


@pytest.mark.slow
def test_what_another_pipeline_made_is_registered_while_it_is_there(copied):
    own = copied.folder / TINY / "registered.json"
    path = copied.folder / "results" / "ensemble_registry.db"
    before = path.read_bytes()
    other = copied.folder / "results" / "small" / "older" / "registered.json"
    other.parent.mkdir()
    other.write_text(own.read_text().replace("small/tiny", "small/older"))
    assert copied.due() == {"registry": 1}
    assert copied.run("--", "results/ensemble_registry.db").code == 0
    assert copied.due() == {}
    with closing(sqlite3.connect(path)) as database:
        names = database.execute("SELECT ensemble FROM ensembles ORDER BY ensemble").fetchall()
    assert names == [("small/older",), ("small/tiny",)]
    other.unlink()
    assert copied.due() == {"registry": 1}
    assert copied.run("--", "results/ensemble_registry.db").code == 0
    assert path.read_bytes() == before


def test_in_one_process_the_same_bytes_come_out(finished, tmp_path, monkeypatch):
    workflow = finished[0]
    monkeypatch.chdir(workflow.folder)
    cluster_analysis_pipeline("config/pipelines/tiny.yaml", results=tmp_path / "results")
    made = {
        path.relative_to(tmp_path / "results").as_posix(): path.read_bytes()
        for path in (tmp_path / "results").rglob("*")
        if path.is_file()
    }
    looked_at = ("/plots/", "/explorer.html")  # what only the workflow makes
    expected = {
        name: data for name, data in workflow.results().items() if not any(part in name for part in looked_at)
    }
    assert set(made) == set(expected)
    assert [name for name in made if made[name] != expected[name]] == []


def test_a_sweep_shares_its_batches(copied):
    copied.write("config/pipelines/s.yaml", PIPELINE | {"sweep": {"merge_config.alpha": [0.5, 2, 5]}})
    copied.write(
        "config/config.yaml", {"pipelines": ["config/pipelines/tiny.yaml", "config/pipelines/s.yaml"]}
    )
    due = copied.due()
    assert due["merge"] == 6
    assert "precompute_batches" not in due


def test_a_dry_run_imports_nothing_slow_of_ours():
    common = (REPOSITORY / "rules" / "common.smk").read_text()
    all_rules = "".join(path.read_text() for path in (REPOSITORY / "rules").glob("*.smk"))
    slow = ["torch", "pandas", "numba", "matplotlib", "wandb", "scipy"]
    for rules, at_least, not_imported in ((common, 5, ["numpy", *slow]), (all_rules, 20, slow)):
        lines = re.findall(r"^from spdclust[^\n(]*(?:\([^)]*\)|$)", rules, re.MULTILINE)
        assert len(lines) >= at_least
        code = "\n".join([*lines, "import sys", "print(sorted({m.split('.')[0] for m in sys.modules}))"])
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert "'spdclust'" in done.stdout
        assert [module for module in not_imported if f"'{module}'" in done.stdout] == []


def test_a_quiet_dry_run_gives_a_line_for_each_ensemble(finished):
    outcome = finished[0].run("-n", "-q")
    assert f"{TINY}: 2 of 2 histories" in outcome.output


def one_line(outcome, *parts):
    assert outcome.code != 0
    matching = [line for line in outcome.output.splitlines() if all(part in line for part in parts)]
    assert matching, outcome.output
    assert "Traceback" not in outcome.output


def test_an_unknown_key_is_named_with_the_nearest_one(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    workflow.write("config/runs/small.yaml", RUN | {"batchsize": 3})
    one_line(workflow.run("-n"), "Error:", "small.yaml: batchsize: unknown key (allowed: batch_size)")


def test_one_run_with_distances_is_refused(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    workflow.write("config/pipelines/tiny.yaml", PIPELINE | {"n_runs": 1})
    one_line(
        workflow.run("-n"), "tiny.yaml: n_runs: distances need several runs (found: 1; allowed: 2 or more)"
    )


def test_a_missing_checkpoint_is_refused_before_anything_runs(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    (workflow.folder / "resources/resid_mlp1/model_6000.pth").unlink()
    error = "Error: config/runs/small.yaml: model_path: "
    one_line(workflow.run("-n"), f"{error}resources/resid_mlp1: no model_<step>.pth in the folder")
    workflow.write("config/runs/small.yaml", RUN | {"model_path": "resources/nowhere"})
    one_line(workflow.run("-n"), f"{error}resources/nowhere: no such file or folder")


def test_a_state_dict_that_does_not_fit_is_one_line_and_leaves_nothing(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    weights = workflow.folder / "resources/resid_mlp1/model_6000.pth"
    state = torch.load(weights, weights_only=True)
    state["target_model.W_E"] = state["target_model.W_E"][:, :50].clone()
    torch.save(state, weights)
    outcome = workflow.run("--", "results/small/precomputed_batches/run_0/batch_0.pt")
    one_line(
        outcome,
        "Error in precompute_batches:",
        "model_6000.pth",
        "target_model.W_E",
        "(100, 50)",
        "; settings: config/runs/small.yaml]",
    )
    assert not list((workflow.folder / "results").rglob("*.pt*"))


def test_settings_that_do_not_fit_the_model_are_one_line_before_anything_is_sampled(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    changed = RUN["merge_config"] | {"module_name_filter": "mlp_in"}
    workflow.write("config/runs/small.yaml", RUN | {"merge_config": changed})
    file = "Error: config/runs/small.yaml"
    for _ in range(2):  # it leaves no lock
        outcome = workflow.run()
        one_line(outcome, f"{file}: merge_config.module_name_filter: no module matches (found: mlp_in; ")
        assert not (workflow.folder / "results/small").exists()
    config = workflow.folder / "resources/resid_mlp1/final_config.yaml"
    config.write_text(config.read_text().replace("C: 100", "C: 50"))
    one_line(workflow.run(), f"{file}: model_path: resources/resid_mlp1/final_config.yaml: module_info: ")


def test_a_truncated_batch_is_one_line_and_leaves_nothing(copied):
    batch = copied.folder / "results/small/precomputed_batches/run_0/batch_0.pt"
    batch.write_bytes(batch.read_bytes()[:2000])
    history = f"{TINY}/runs/run_0/history.zip"
    outcome = copied.run("--", history)
    one_line(outcome, "Error in merge:", "run_0/batch_0.pt: not a readable batch")
    assert not (copied.folder / history).exists()


def test_figures_do_not_depend_on_the_users_settings_of_matplotlib(copied, tmp_path, monkeypatch):
    figure = copied.folder / f"{TINY}/plots/groups.png"
    bytes_before = figure.read_bytes()
    figure.unlink()
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nsavefig.dpi: 20\n")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    outcome = copied.run("--", f"{TINY}/plots/groups.png")
    assert outcome.code == 0, outcome.output
    assert figure.read_bytes() == bytes_before


def test_no_component_alive_is_one_line(copied):
    changed = RUN["merge_config"] | {"filter_dead_threshold": 50.0}
    copied.write("config/runs/small.yaml", RUN | {"merge_config": changed})
    outcome = copied.run("--", f"{TINY}/runs/run_0/history.zip")
    one_line(
        outcome,
        "Error in merge:",
        "no component is alive",
        "; settings: config/runs/small.yaml]",
    )


def test_the_report_holds_every_figure_with_its_caption(copied):
    outcome = copied.run("report")
    assert outcome.code == 0, outcome.output
    page = (copied.folder / "results/report.html").read_text()
    for said in ("marked least value", "one that swallows all is not", "Distance between every two runs"):
        assert said in page
    assert "{%" not in page.split("<body", 1)[0]
