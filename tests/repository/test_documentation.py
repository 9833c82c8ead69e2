"""Each public function shows what it does by an example, which `pytest` runs with the other tests."""

import ast
import doctest
import functools
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "src/spdclust"

WITHOUT_EXAMPLE: dict[str, str] = {
    "groups.describe.describe": "needs samples, sums and trees of an ensemble; `find_groups` shows what it returns",
    "models.reference.load": "needs the reference implementation's package",
    "execution.snakemake_hooks.add_form": "changes a Snakemake workflow; see test_workflow_plans and test_workflow_module",
    "execution.snakemake_hooks.hide_account_guesses": "changes Snakemake in this process; tests/slurm shows it",
    "execution.snakemake_hooks.keep_files_of_failed_updates": "changes Snakemake in this process; see tests/workflow/test_failures.py",
    "execution.snakemake_hooks.leave_out_of_records": "changes Snakemake in this process; see tests/workflow/test_shared_distances.py",
    "execution.snakemake_hooks.report_each_refusal_once": "changes Snakemake in this process; tests/slurm shows it",
    "execution.snakemake_hooks.report_jobs_that_never_start": "looks at a queue for ever; tests/slurm shows it",
    "execution.snakemake_hooks.end_at_any_moment": "changes Snakemake in this process; see tests/execution/test_snakemake_hooks.py",
    "execution.snakemake_hooks.retry_killed_jobs_only": "changes Snakemake in this process; see tests/workflow/test_failures.py",
    "stages.docstring_corpus.docstring_corpus": "reads the sources of the whole standard library, which takes seconds",
    "stages.results.report": "starts Snakemake on a whole workflow and its results",
}
"""Module and name without `spdclust.`: why no example of a few lines would help."""


@functools.cache
def public_functions() -> dict[str, str]:
    """Docstrings of the public functions outside of kernels."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if "kernels" in module.split("."):
            continue
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                found[f"{module}.{node.name}"] = ast.get_docstring(node) or ""
    return found


def shows_itself(name: str, docstring: str) -> bool:
    """Whether an example that is not skipped names the function."""
    examples = doctest.DocTestParser().get_examples(docstring)
    return any(
        name.rpartition(".")[2] in example.source and not example.options.get(doctest.SKIP)
        for example in examples
    )


def test_public_functions_show_themselves_by_an_example() -> None:
    without = {name for name, text in public_functions().items() if not shows_itself(name, text)}
    assert without - WITHOUT_EXAMPLE.keys() == set()


def test_no_function_is_excused_without_need() -> None:
    shown = {name for name, text in public_functions().items() if shows_itself(name, text)}
    assert WITHOUT_EXAMPLE.keys() & shown == set()
    assert WITHOUT_EXAMPLE.keys() - public_functions().keys() == set()
    assert all(WITHOUT_EXAMPLE.values())


def test_every_function_that_is_public_says_what_it_does() -> None:
    assert [name for name, text in public_functions().items() if not text] == []
