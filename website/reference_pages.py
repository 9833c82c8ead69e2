"""Pages of the site that are generated: the public names, the settings, the commands."""

import argparse
import inspect
import json
import os
from collections.abc import Iterator
from typing import Any

import spdclust
from spdclust.commands import cli, reference_cli
from spdclust.config.generate import MODELS, schema_text

PYTHON = {
    "groups": ("Groups that hold", ["find_groups", "FoundGroups"]),
    "merges": (
        "Merges",
        ["merge_iteration", "MergeConfig", "MergeHistory", "GroupMerge", "compute_merge_costs",
         "load_merge_history", "load_merge_histories", "save_merge_history"],
    ),
    "activations": (
        "Activations",
        ["ProcessedActivations", "ActivationBatch", "BatchedActivations", "process_data_batch",
         "extract_and_process_activations", "precompute_batches_for_ensemble"],
    ),
    "ensembles": (
        "Ensembles of runs",
        ["MergeHistoryEnsemble", "normalize_ensemble", "NormalizedHistories", "compute_distances"],
    ),
    "pipeline": (
        "The whole pipeline",
        ["cluster_analysis_pipeline", "ClusteringPipelineConfig", "ClusteringRunConfig", "ClusteringResults",
         "InputError"],
    ),
}  # fmt: skip
"""By page: its title and the names of `spdclust` on it."""

KINDS = {
    "workflow": "The workflow: config/config.yaml",
    "pipeline": "A pipeline file",
    "run": "A run file",
    "merge": "merge_config in a run file",
}


def reference_pages() -> dict[str, str]:
    """Return the text of every generated page by its path on the site."""
    pages = {f"reference/python/{page}.md": "\n".join(python_page(page)) for page in PYTHON}
    return pages | {
        "reference/python/index.md": "\n".join(python_index()),
        "reference/configuration.md": "\n".join(configuration_page()),
        "reference/commands.md": "\n".join(commands_page()),
    }


def python_index() -> Iterator[str]:
    """Yield a table of all public names, each with the first sentence of its docstring."""
    yield from ("# Python", "", "`import spdclust` offers these names:", "", "| name | |", "|---|---|")
    for page, (_, names) in PYTHON.items():
        for name in names:
            summary = (inspect.getdoc(getattr(spdclust, name)) or "").partition("\n")[0]
            yield f"| [`{name}`]({page}.md#{identifier(name)}) | {summary} |"


def python_page(page: str) -> Iterator[str]:
    """Yield the page of some of the public names; mkdocstrings renders their docstrings."""
    title, names = PYTHON[page]
    yield f"# {title}"
    for name in names:
        yield from ("", f"::: {identifier(name)}", "    options:", f"      heading: {name}")


def identifier(name: str) -> str:
    """Return where a public name is defined, `module.name`."""
    return f"{getattr(spdclust, name).__module__}.{name}"


def configuration_page() -> Iterator[str]:
    """Yield one table of keys for each kind of configuration file, and for each section inside them."""
    yield from ("# Settings, every key", "")
    yield "Generated from the models that check the files. [Settings](../settings.md) explains them."
    schemas = {kind: json.loads(schema_text(kind)) for kind in MODELS}
    for kind, schema in schemas.items():
        yield from settings_table(KINDS[kind], MODELS[kind].__name__, schema)
    inside = {name: each for schema in schemas.values() for name, each in schema.get("$defs", {}).items()}
    for name in sorted(inside.keys() - {model.__name__ for model in MODELS.values()}):
        yield from settings_table(f"Section {name}", name, inside[name])


def settings_table(title: str, name: str, schema: dict[str, Any]) -> Iterator[str]:
    """Yield the keys of one model, from its JSON Schema."""
    yield from ("", f"## {title} {{#{name}}}", "", " ".join(schema.get("description", "").split()))
    yield from ("", "| key | values | default | |", "|---|---|---|---|")
    for key, field in schema["properties"].items():
        default = f"`{json.dumps(field.get('default'), ensure_ascii=False)}`"
        if key in schema.get("required", ()):
            default = "needed"
        elif "$ref" in field:
            default = "those of the section"
        meaning = " ".join(field.get("description", "").split()).replace("|", "\\|")
        yield f"| `{key}` | {values(field)} | {default} | {meaning} |"


def values(field: dict[str, Any]) -> str:
    """Return the allowed values of a field of a JSON Schema in words; sections are links to their tables."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"section [{name}](#{name})"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(values(each) for each in field["anyOf"]))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{each}`" for each in field.get("enum", [field.get("const")]))
    kind = str(field.get("type", "any"))
    if kind in ("array", "object"):
        of = field.get("items" if kind == "array" else "additionalProperties")
        return (
            f"{'list' if kind == 'array' else 'mapping'} of {values(of)}"
            if isinstance(of, dict)
            else "mapping"
        )
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return ", ".join([kind, *(f"{sign} {field[name]}" for name, sign in bounds.items() if name in field)])


def commands_page() -> Iterator[str]:
    """Yield what `--help` prints, for each command."""
    os.environ["COLUMNS"] = "80"  # argparse wraps at the width of the terminal
    yield from ("# Command line, every option", "")
    yield "What `--help` prints. [Command line](../command-line.md) explains the commands by examples."
    for parser in (cli._parser(), reference_cli.parser()):
        yield from ("", f"## {parser.prog}", "", "```text", parser.format_help().rstrip(), "```")
        for name, command in subcommands(parser).items():
            yield from ("", f"### {name}", "", "```text", command.format_help().rstrip(), "```")


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of a command's subcommands by name."""
    actions = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return {name: command for action in actions for name, command in action.choices.items()}
