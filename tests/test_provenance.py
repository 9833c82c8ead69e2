import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spdclust.provenance import code_fingerprint, git_state, stage_fingerprint

SOURCE = Path(__file__).resolve().parents[1] / "src" / "spdclust"
STAGES = sorted(path.stem for path in (SOURCE / "stages").glob("[a-z]*.py"))
BY_HAND = {"examples"}


@pytest.fixture
def package(tmp_path):
    """A copy of the package that tests may edit, and the fingerprints that it has."""
    shutil.copytree(SOURCE, tmp_path / "spdclust", ignore=shutil.ignore_patterns("__pycache__"))

    def fingerprints():
        code = (
            "from spdclust.provenance import stage_fingerprint\n"
            f"for stage in {STAGES}: print(stage, stage_fingerprint(stage))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path), "SPDCLUST_CACHE": str(tmp_path / "cache")},
        )  # fmt: skip
        return dict(line.split() for line in done.stdout.splitlines())

    return tmp_path / "spdclust", fingerprints


def changed_by(package, module, edit):
    source, fingerprints = package
    before = fingerprints()
    path = source / module
    path.write_text(edit(path.read_text()))
    after = fingerprints()
    return {stage for stage in before if before[stage] != after[stage]}


def add_function(text):
    return text + "\n\ndef added_for_the_test():\n    return 1\n"


@pytest.mark.parametrize(
    ("module", "due"),
    [
        ("merge/costs.py", {"merge", "plot_merge_candidates", "plot_merge_state", "track"}),
        ("files/metrics.py", {"merge"}),
        ("plotting/distances.py", {"plot_distances"}),
        ("plotting/stability.py", {"plot_stability"}),
        ("models/targets/tms.py", {"precompute_batches"}),
        ("partitions/distances.py", {"distances", "stability", "mapping"}),
        ("stability/coclustering.py", {"stability", "mapping", "compare_points", "explorer"}),
        ("files/registry.py", {"registry"}),
        ("summary.py", {"summarize"}),
        ("cli.py", set()),
        ("config/merge.py", set()),
    ],
)
def test_editing_a_module_changes_only_the_stages_that_use_it(package, module, due):
    assert changed_by(package, module, add_function) == due


def test_comments_docstrings_and_layout_do_not_count(package):
    def edit(text):
        return text.replace('"""', '"""Said differently. ', 1) + "\n\n\n# a remark\n"

    assert changed_by(package, "merge/costs.py", edit) == set()


def test_every_stage_of_the_rules_has_a_fingerprint():
    rules = "".join(path.read_text() for path in (SOURCE.parents[1] / "rules").glob("*.smk"))
    for stage in set(STAGES) - BY_HAND:
        assert f'stage_fingerprint("{stage}"' in rules
        assert len(stage_fingerprint(stage)) == 16


def test_an_unknown_module_is_an_error():
    with pytest.raises(ValueError, match=r"no module spdclust\.nowhere"):
        code_fingerprint("spdclust.nowhere")


def test_git_state_tells_changed_files_and_passes_over_new_ones(tmp_path):
    assert git_state(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.email=a@b", "-c", "user.name=a"]
    (tmp_path / "known").write_text("")
    for command in (["init", "-q"], ["add", "known"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    (tmp_path / "new").write_text("results of a workflow that has begun")
    assert git_state(tmp_path)["dirty"] is False
    (tmp_path / "known").write_text("changed")
    state = git_state(tmp_path)
    assert state["dirty"] is True
    assert len(state["commit"]) == 40
