"""The empty workflow that plans are compared with."""

import planning
import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("n_ensembles", "n_runs"), [(2, 2), (2, 9)])
def test_the_empty_workflow_has_as_many_jobs_as_ours(tmp_path, n_ensembles, n_runs):
    ours, peer = tmp_path / "ours", tmp_path / "peer"
    planning.write_workflow(ours, n_ensembles, n_runs)
    planned = planning.plan(ours)
    planning.write_peer(peer, planned.output, n_ensembles, n_runs)
    assert planning.plan(peer).jobs == planned.jobs
