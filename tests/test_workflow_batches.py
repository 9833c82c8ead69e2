"""Batches in the workflow: temporary ones, and data of one's own."""

from workflow import RUN, Workflow


def test_temporary_batches_go_when_all_merges_have_read_them(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    workflow.write("config/runs/small.yaml", RUN | {"keep_batches": False})
    assert workflow.due("histories") == {"precompute_temporary_batches": 2, "merge": 2, "histories": 1}
    outcome = workflow.run("histories")
    assert outcome.code == 0, outcome.output
    names = workflow.results()
    assert "small/tiny/runs/run_1/history.zip" in names
    assert not [name for name in names if "precomputed_batches" in name]
    assert workflow.due("histories") == {}
