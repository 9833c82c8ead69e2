import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from workflow import STAGES as CALLED

from spdclust.core.code_fingerprint import code_fingerprint, stage_fingerprint
from spdclust.plotting.registry import FIGURE_RULES

SOURCE = Path(__file__).resolve().parents[2] / "src" / "spdclust"
STAGES = ["merge", "distances", *sorted(set(CALLED))]
"""What rules call: a module where the stage has a script of its own, otherwise a function of one."""


FORKED = """
import json, os, sys
import filelock, pydantic, yaml  # what the package uses, and nothing of the package
for line in sys.stdin:
    folder, stages = json.loads(line)
    child = os.fork()
    if child == 0:
        sys.path.insert(0, folder)
        from spdclust.core.code_fingerprint import stage_fingerprint
        from spdclust.plotting.registry import FIGURE_RULES, figure_code
        found = {stage.split(":")[-1]: stage_fingerprint(stage) for stage in stages}
        found |= {name: stage_fingerprint("results:draw_figures", figure_code(rule)) for name, rule in FIGURE_RULES.items()}
        assert sys.modules["spdclust"].__file__.startswith(folder)
        print(json.dumps(found), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(1)
"""


@pytest.fixture(scope="module")
def fingerprints_of(tmp_path_factory):
    """The fingerprints of the stages of a package, each time in a new copy of one process.

    One cache for all packages: what they have in common is parsed once.
    """
    environment = {"SPDCLUST_CACHE": str(tmp_path_factory.mktemp("cache"))}
    with subprocess.Popen(
        [sys.executable, "-c", FORKED],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def fingerprints(folder):
            process.stdin.write(json.dumps([str(folder), STAGES]) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield fingerprints
        process.stdin.close()


@pytest.fixture(scope="module")
def unedited(tmp_path_factory, fingerprints_of):
    """A copy of the package, and its fingerprints."""
    folder = tmp_path_factory.mktemp("unedited")
    shutil.copytree(SOURCE, folder / "spdclust", ignore=shutil.ignore_patterns("__pycache__"))
    return folder, fingerprints_of(folder)


@pytest.fixture
def package(tmp_path, unedited, fingerprints_of):
    """A copy of the package that tests may edit, and the fingerprints that it has."""
    shutil.copytree(unedited[0], tmp_path, dirs_exist_ok=True)
    return tmp_path / "spdclust", lambda: fingerprints_of(tmp_path)


@pytest.fixture
def changed_by(package, unedited):
    """Edit a module of the package, and return the stages whose fingerprints change."""

    def changed(module, edit):
        source, fingerprints = package
        path = source / module
        text = path.read_text()
        path.write_text(edit(text))
        assert path.read_text() != text
        before, after = unedited[1], fingerprints()
        return {stage for stage in before if before[stage] != after[stage]}

    return changed


def change(name):
    """Return an edit of one function or class of a module: it gets a statement of its own."""

    def edit(text):
        (node,) = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name
        ]
        last = node.body[-1]
        lines = text.splitlines(keepends=True)
        lines.insert(last.lineno - 1, " " * last.col_offset + "added_for_the_test = 1\n")
        return "".join(lines)

    return edit


@pytest.mark.parametrize(
    ("module", "name", "due"),
    [
        (
            "merge/costs.py",
            "compute_merge_costs",
            {"merge", "track", "plot_merge_candidates", "plot_merge_state"},
        ),
        ("merge/merging.py", "merge_iteration", {"merge"}),
        ("files/tables.py", "save_metrics", {"merge"}),
        ("plotting/runs.py", "plot_distances", {"plot_distances"}),
        ("plotting/merges.py", "plot_merge_tree", {"plot_merge_tree"}),
        ("plotting/merge_state.py", "plot_merge_state", {"plot_merge_state"}),
        ("plotting/merge_state.py", "plot_merge_candidates", {"plot_merge_candidates"}),
        ("plotting/sweeps.py", "plot_sweep_bits", {"plot_sweep"}),
        ("plotting/stability.py", "plot_contested", {"plot_stability"}),
        ("stages/results.py", "draw_figures", set(FIGURE_RULES)),
        ("models/targets/toy.py", "TMSModel", {"precompute_batches"}),
        ("partitions/distances.py", "_walk", {"distances", "distances_part", "stability", "map_consensus"}),
        ("partitions/distances.py", "compute_all_distances", {"stability", "map_consensus"}),
        ("partitions/distances.py", "compute_pair_distances", {"distances", "distances_part"}),
        (
            "stability/coclustering.py",
            "coclustering",
            {"stability", "map_consensus", "explorer", "compare_points"},
        ),
        ("stages/stability.py", "_iteration_of", {"map_run"}),
        ("files/summaries.py", "write_registry", {"registry"}),
        ("stability/summary.py", "summarize", {"summarize_ensemble"}),
        ("commands/cli.py", "main", set()),
        ("config/merge.py", "MergeConfig", set()),
    ],
)
def test_editing_a_function_changes_only_the_stages_that_use_it(changed_by, module, name, due):
    assert changed_by(module, change(name)) == due


def test_a_function_that_nothing_uses_changes_nothing(changed_by):
    def edit(text):
        return text + "\n\ndef added_for_the_test():\n    return 1\n"

    assert changed_by("merge/costs.py", edit) == set()


def test_moving_code_changes_nothing(package, unedited):
    """A package is renamed, a module moved and another one split; who imports them follows."""
    source, fingerprints = package
    before = unedited[1]
    (source / "merge").rename(source / "greedy")
    (source / "greedy/costs.py").rename(source / "description_length.py")
    metrics = source / "files/tables.py"
    text = metrics.read_text()
    place = text.index("\ndef save_metrics")
    imports = text[: text.index("\n\n\n")]
    (source / "files/metrics_writing.py").write_text(
        f"{imports}\nfrom spdclust.files.tables import _metrics_table, save_columns\n{text[place:]}"
    )
    metrics.write_text(text[:place])
    moved = {
        "spdclust.merge.": "spdclust.greedy.",
        "from spdclust.merge ": "from spdclust.greedy ",
        "spdclust.greedy.costs ": "spdclust.description_length ",
        "spdclust.files.tables import save_metrics": "spdclust.files.metrics_writing import save_metrics",
    }
    for path in source.rglob("*.py"):
        text = path.read_text()
        for old, new in moved.items():
            text = text.replace(old, new)
        path.write_text(text)
    assert fingerprints() == before


def test_functions_of_one_name_do_not_change_places_unseen(tmp_path, package):
    source, fingerprints = package
    one, other = "def _read():\n    return 1\n", "def _read():\n    return 2\n"
    use = "\n\ndef {}():\n    return _read()\n"

    def write(first, second):
        (source / "one.py").write_text(first + use.format("first"))
        (source / "other.py").write_text(second + use.format("second"))
        stage = source / "stages/merge.py"
        if "first()" not in stage.read_text():
            stage.write_text(
                stage.read_text().replace(
                    "\n\n\n", "\nfrom spdclust.one import first\nfrom spdclust.other import second\n\n\n", 1
                )
                + "\n\ndef both():\n    return first(), second()\n"
            )
        return fingerprints()["merge"]

    assert write(one, other) != write(other, one)


@pytest.mark.parametrize("module", ["config.merge", "core.errors", "nowhere"])
def test_which_name_of_a_module_that_does_not_count_is_used_does_count(package, module):
    source, fingerprints = package
    stage = source / "stages/merge.py"
    text = stage.read_text()

    def importing(name):
        line = f"\nfrom spdclust.{module} import {name} as used\n\n\ndef use():\n    return used\n\n\n"
        stage.write_text(text.replace("\n\n\n", line, 1))
        return fingerprints()["merge"]

    assert importing("one") != importing("other")


def test_comments_docstrings_and_layout_do_not_count(changed_by):
    def edit(text):
        return text.replace('"""', '"""Said differently. ', 1) + "\n\n\n# a remark\n"

    assert changed_by("merge/costs.py", edit) == set()


@pytest.mark.parametrize(
    ("edit", "due"),
    [
        (("Description length of the activations", "Length of"), set()),  # a caption
        (("plotting.merges:plot_mdl", "plotting.merges:plot_cluster_sizes"), {"plot_curves"}),
        (("plotting.merges:plot_merge_tree", "plotting.style:new_figure"), {"plot_merge_tree"}),
    ],
)
def test_an_edited_entry_of_the_registry_changes_only_its_own_rule(changed_by, edit, due):
    assert changed_by("plotting/registry/merges.py", lambda text: text.replace(*edit)) == due


def test_every_stage_of_the_rules_has_a_fingerprint():
    rules = "".join(path.read_text() for path in (SOURCE.parents[1] / "rules").glob("*.smk"))
    assert 'stage_fingerprint("results:draw_figures","figures",figure_code(figures))' in "".join(
        rules.split()
    )
    modules = {path.stem for path in (SOURCE / "stages").glob("[a-z]*.py")}
    for stage in modules:
        assert f'stage_fingerprint("{stage}")' in rules or f'stage_params("{stage}:' in rules
    assert all(len(stage_fingerprint(stage)) == 16 for stage in STAGES)


def test_an_unknown_module_or_function_is_an_error():
    with pytest.raises(ValueError, match=r"no module spdclust\.nowhere"):
        code_fingerprint("spdclust.nowhere")
    with pytest.raises(ValueError, match=r"no function, class or constant spdclust\.merge\.costs:nothing"):
        code_fingerprint("spdclust.merge.costs:nothing")
