import json

import pytest
import yaml
from conftest import REPOSITORY
from jsonschema import Draft202012Validator

from spdclust.config.generate import MODELS, _defaults_text, _generated_files, schema_text


def test_generated_files_are_up_to_date():
    """If this fails: `make format` writes them anew."""
    for path, text in _generated_files(REPOSITORY / "config").items():
        assert path.read_text(encoding="utf-8") == text, path


@pytest.mark.parametrize("kind", MODELS)
def test_commented_defaults_are_the_models_defaults(kind):
    written = yaml.safe_load(_defaults_text(kind)) or {}
    needed = {
        "workflow": {"pipelines": ["a"]},
        "run": {"model_path": "m"},
        "pipeline": {"clustering_run_config_path": "a"},
    }
    model = MODELS[kind]
    given = {key: value for key, value in written.items() if value is not None}
    assert model(**given | needed.get(kind, {})) == model(**needed.get(kind, {}))
    assert {key for key in model.model_fields if f"{key}:" not in _defaults_text(kind)} == set()


@pytest.mark.parametrize("kind", MODELS)
def test_every_key_says_what_it_means(kind):
    schema = json.loads(schema_text(kind))
    sections = [schema, *schema.get("$defs", {}).values()]
    for section in sections:
        for name, key in section.get("properties", {}).items():
            assert key.get("description"), name


def test_every_shipped_configuration_names_its_schema_and_fits_it():
    config = REPOSITORY / "config"
    shipped = [config / "config.yaml", *config.glob("pipelines/*.yaml"), *config.glob("runs/*.yaml")]
    assert len(shipped) >= 3
    for path in shipped:
        first = path.read_text().splitlines()[0]
        assert first.startswith("# yaml-language-server: $schema="), path
        schema = json.loads((path.parent / first.split("=", 1)[1]).read_text())
        Draft202012Validator(schema).validate(yaml.safe_load(path.read_text()))
