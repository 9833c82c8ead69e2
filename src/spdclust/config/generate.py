"""JSON Schemas and commented defaults, generated from the configuration models.

`python -m spdclust.config.generate` writes them to `config/schema/` and `config/defaults/`.
"""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from spdclust.config.merge import MergeConfig
from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.config.resolve import WorkflowConfig
from spdclust.config.run import ClusteringRunConfig

MODELS: dict[str, type[BaseModel]] = {
    "workflow": WorkflowConfig,
    "pipeline": ClusteringPipelineConfig,
    "run": ClusteringRunConfig,
    "merge": MergeConfig,
}
"""Kinds of configuration by name."""


def schema_text(kind: str) -> str:
    """Return the JSON Schema of one kind of configuration file.

    Example:
        >>> json.loads(schema_text("merge"))["properties"]["alpha"]["default"]
        1.0
    """
    schema = MODELS[kind].model_json_schema()
    for section in (schema, *schema.get("$defs", {}).values()):
        if "description" in section:  # the class's first sentence, without its example
            section["description"] = section["description"].split("\n\n")[0]
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _defaults_text(kind: str) -> str:
    """Return a YAML file with every key of one kind of configuration, its meaning and its default."""
    head = f"# yaml-language-server: $schema=../schema/{kind}.schema.json\n"
    head += f"# Every key of a {kind} file with its default; generated, copy what you change.\n"
    return head + "\n".join(_lines(MODELS[kind], 0)) + "\n"


def _lines(model: type[BaseModel], depth: int) -> list[str]:
    lines: list[str] = []
    indent = "  " * depth
    for name, field in model.model_fields.items():
        lines += [
            f"{indent}# {line}"
            for line in textwrap.wrap(" ".join((field.description or "").split()), 100 - len(indent))
        ]
        default = field.get_default(call_default_factory=True, validated_data={})
        if isinstance(default, BaseModel):
            lines.append(f"{indent}{name}:")
            lines += _lines(type(default), depth + 1)
        elif default is PydanticUndefined:
            lines.append(f"{indent}# {name}: (needed)")
        else:
            lines.append(f"{indent}{name}: {_inline(default)}")
    return lines


def _inline(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _generated_files(config: Path) -> dict[Path, str]:
    """Return the text of every generated file below the folder `config`."""
    schemas = {config / "schema" / f"{kind}.schema.json": schema_text(kind) for kind in MODELS}
    return schemas | {config / "defaults" / f"{kind}.yaml": _defaults_text(kind) for kind in MODELS}


def main(config: Path = Path("config")) -> None:
    """Write all generated files.

    Example:
        >>> main(folder)
        >>> sorted(path.name for path in folder.glob("defaults/*"))
        ['merge.yaml', 'pipeline.yaml', 'run.yaml', 'workflow.yaml']
    """
    for path, text in _generated_files(config).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
