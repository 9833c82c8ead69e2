"""What rules name is what their stages take: every rule of the workflow, and what a wrong name is answered with."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from spdclust.core.errors import InputError
from spdclust.execution import jobs
from spdclust.execution.jobs import _check_names, _find_stage

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "workflow/scripts/stage.py"
OTHER_SCRIPTS = {"merge", "distances", "figures"}

# the rules as Snakemake reads them, in a process of its own: the workflow changes Snakemake
_LIST_RULES = """
import json
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import OutputSettings, ResourceSettings

with SnakemakeApi(OutputSettings(dryrun=True)) as api:
    workflow = api.workflow(ResourceSettings(cores=1), snakefile=Path("Snakefile"))._workflow
    print(json.dumps({
        rule.name: {
            "script": Path(rule.script).stem,
            "stage": rule.params.get("stage"),
            **{kind: list(getattr(rule, kind).keys()) for kind in ("input", "output", "params")},
        }
        for rule in workflow.rules if rule.script
    }))
"""


@pytest.fixture(scope="module")
def rules():
    done = subprocess.run(
        [sys.executable, "-c", _LIST_RULES], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def test_what_every_rule_names_fits_its_stage(rules):
    checked = 0
    for rule, of_rule in rules.items():
        stage = of_rule["stage"]
        if of_rule["script"] == SCRIPT.stem:
            names = {kind: of_rule[kind] for kind in ("input", "output", "params")}
            _check_names(rule, _find_stage(rule, stage), **names)
            checked += 1
        else:
            assert stage is None, rule
    assert checked > 12


def test_every_script_is_used_and_only_some_stages_have_one_of_their_own(rules):
    scripts = {path.stem for path in SCRIPT.parent.glob("*.py")}
    assert {of_rule["script"] for of_rule in rules.values()} == scripts == {SCRIPT.stem, *OTHER_SCRIPTS}


NORMALIZE = {
    "input": {"histories": ["history.zip"]},
    "output": {"meta": "meta.json", "merge_array": "array.npz"},
    "params": {"stage": "ensemble_records:normalize", "code": "0123456789abcdef"},
}


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            {"output": {"meta": "meta.json", "array": "array.npz"}},
            "rule normalize: output.array: no parameter of spdclust.stages.ensemble_records:normalize "
            "(allowed: histories, meta, merge_array)",
        ),
        (
            {"params": NORMALIZE["params"] | {"stride": 2}},
            "rule normalize: params.stride: no parameter of spdclust.stages.ensemble_records:normalize "
            "(allowed: histories, meta, merge_array)",
        ),
        (
            {"input": {}},
            "rule normalize: histories: this parameter of spdclust.stages.ensemble_records:normalize is missing "
            "(allowed: an input, output or param of this name)",
        ),
        (
            {"input": {"histories": ["history.zip"], "meta": "other.json"}},
            "rule normalize: output.meta: this parameter of spdclust.stages.ensemble_records:normalize has another value "
            "too (allowed: names of outputs that no input or param has)",
        ),
        *(
            (
                {"params": {"stage": stage}},
                f"rule normalize: params.stage: no such stage (found: {stage}; "
                "allowed: <module>:<function> of spdclust.stages)",
            )
            for stage in (
                "records:normalize",
                "ensemble_records:normalise",
                "ensemble_records:log",
                "ensemble_records",
                "",
            )
        ),
        ({}, "history.zip: no such file"),  # the names fit
    ],
)
def test_a_wrong_name_is_one_line_that_names_rule_function_and_parameter(changed, line):
    job = {"rule": "normalize", "threads": 1} | NORMALIZE | changed
    with pytest.raises(InputError, match=re.escape(line)):
        jobs.call_stage(SimpleNamespace(**job))


def test_a_job_with_a_wrong_name_ends_in_that_line(tmp_path):
    job = {"rule": "a_rule", "log": ["job.log"], "threads": 1} | NORMALIZE | {"input": {}}
    code = f"from types import SimpleNamespace\nsnakemake = SimpleNamespace(**{job!r})\n{SCRIPT.read_text()}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        r"Error in a_rule: rule a_rule: histories: this parameter of \S+:normalize is missing .*\[log: job.log\]\n",
        done.stderr,
    )


@pytest.fixture
def called(monkeypatch):
    """What a stage that only keeps its arguments was called with."""
    kept = {}

    def stage(files, path, *, threads=None, names=None):
        kept.update(files=files, path=path, threads=threads, names=names)

    monkeypatch.setattr(jobs, "_find_stage", lambda rule, name: stage)

    def call(**job):
        given = {"rule": "a", "input": {}, "output": {}, "params": {}, "threads": 3}
        jobs.call_stage(SimpleNamespace(**(given | job)))
        return kept

    return call


def test_arguments_are_inputs_outputs_and_params_by_name_and_the_threads(called):
    files = type("Namedlist", (list,), {})(["1", "2"])
    params = {"names": {"a": 1}, "code": "0", "digest": "1", "stage": "x:y"}
    kept = called(input={"files": files}, output={"path": "out"}, params=params)
    assert kept == {"files": ["1", "2"], "path": "out", "threads": 3, "names": {"a": 1}}
    assert type(kept["files"]) is list


def test_a_param_arranges_the_files_of_the_input_of_its_name(called):
    kept = called(input={"files": ["1", "2"]}, output={"path": "out"}, params={"files": {"a": "1", "b": "2"}})
    assert kept["files"] == {"a": "1", "b": "2"}


def test_a_stage_that_takes_threads_may_be_given_others(called):
    assert called(output={"path": "out"}, params={"files": [], "threads": 1})["threads"] == 1
