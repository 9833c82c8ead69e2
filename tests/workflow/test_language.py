"""The language-model demonstration through the workflow, smaller."""

import re

import pytest
import yaml
from workflow import REPOSITORY, Workflow

from spdclust.files.batches import ActivationBatch
from spdclust.stages.groups import examples

pytestmark = pytest.mark.slow


def test_the_demonstration_goes_from_docstrings_to_groups_and_their_tokens(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    run = yaml.safe_load((REPOSITORY / "config" / "runs" / "lm_llama2L.yaml").read_text())
    run |= {"n_tokens": 2000, "n_tokens_per_seq": 20, "keep_examples": 100}
    workflow.write("config/runs/lm_llama2L.yaml", run)
    pipeline = yaml.safe_load((REPOSITORY / "config" / "pipelines" / "demo_lm.yaml").read_text()) | {
        "n_runs": 2
    }
    workflow.write("config/pipelines/demo_lm.yaml", pipeline)
    workflow.write("config/config.yaml", {"pipelines": ["config/pipelines/demo_lm.yaml"]})
    due = workflow.due("histories")
    assert due == {"docstring_corpus": 1, "precompute_batches": 2, "merge": 2, "histories": 1}
    outcome = workflow.run("histories")
    assert outcome.code == 0, outcome.output
    batch = ActivationBatch.load(workflow.folder / "results/lm_llama2L/precomputed_batches/run_1/batch_0.pt")
    assert (batch.n_samples, batch.n_components, batch.examples.n_samples) == (2000, 1240, 2000)
    text = examples(workflow.folder / "results" / "lm_llama2L" / "demo_lm")
    assert re.search(r"demo_lm: \d+ groups that hold, most evidence first\ngroup 0: ", text)
    # a corpus that is made again with the same texts makes nothing due
    assert workflow.due("histories") == {}
