"""The documentation site, as far as it can be checked without building it: `make docs` builds it strictly."""

import re

import links
import pytest
import reference_pages
from workflow import REPOSITORY

import spdclust
from spdclust.commands import cli
from spdclust.config.generate import MODELS

NAVIGATION = re.findall(r"([\w/-]+\.(?:md|ipynb))$", (REPOSITORY / "mkdocs.yml").read_text(), re.MULTILINE)


def test_every_page_is_in_the_navigation_once():
    pages = [
        links.site_path(path.relative_to(REPOSITORY).as_posix())
        for path in (REPOSITORY / "docs").glob("*.md")
    ]
    notebooks = [f"notebooks/{path.stem}.md" for path in (REPOSITORY / "docs/notebooks").glob("*.ipynb")]
    generated = [*links.OUTSIDE.values(), *reference_pages.reference_pages()]
    assert sorted(NAVIGATION) == sorted([*pages, *notebooks, *generated])


def test_every_public_name_is_in_the_reference_once():
    named = [name for _, names in reference_pages.PYTHON.values() for name in names]
    assert sorted(named) == sorted(set(spdclust.__all__) - {"__version__"})


def test_every_setting_is_in_the_reference_with_its_default():
    page = "\n".join(reference_pages.configuration_page())
    for model in MODELS.values():
        for key in model.model_fields:
            assert f"| `{key}` | " in page
    assert "| `alpha` | number, ≥ 0 | `1.0` | Weight of a group's rank" in page
    assert '| `merge_pair_sampling_method` | `range`, `mcmc`, `exp_rank` | `"range"` |' in page
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}


def test_every_command_is_in_the_reference_with_its_options():
    page = "\n".join(reference_pages.commands_page())
    for name, command in reference_pages.subcommands(cli._parser()).items():
        assert f"\n### {name}\n" in page
        for action in command._actions:
            assert all(option in page for option in action.option_strings)


@pytest.mark.parametrize(
    ("source", "text", "moved", "copied"),
    [
        ("README.md", "[a](docs/groups.md#the-rule)", "[a](groups.md#the-rule)", set()),
        ("README.md", "![a](docs/images/sweep.png)", "![a](images/sweep.png)", set()),
        ("README.md", "[a](LICENSE)", "[a](repository/LICENSE)", {"LICENSE"}),
        ("config/README.md", "[a](../docs/groups.md)", "[a](groups.md)", set()),
        ("config/README.md", "[a](runs/resid_mlp1.yaml)", "[a](repository/config/runs/resid_mlp1.yaml)",
         {"config/runs/resid_mlp1.yaml"}),
        ("docs/groups.md", "[a](../README.md)", "[a](index.md)", set()),
        ("docs/groups.md", "[a](../config/README.md#merge)", "[a](settings.md#merge)", set()),
        ("docs/groups.md", "[a](recovery.md)", "[a](recovery.md)", set()),
        ("docs/groups.md", "[a](#the-rule)", "[a](#the-rule)", set()),
        ("docs/groups.md", "[a](https://example.org/README.md)", "[a](https://example.org/README.md)", set()),
        ("docs/groups.md", "[a](absent.md)", "[a](absent.md)", set()),
        ("docs/notebooks/a.ipynb", "[a](../groups.md)", "[a](../groups.md)", set()),
    ],
)  # fmt: skip
def test_links_lead_to_the_same_page_on_the_site(source, text, moved, copied):
    assert links.relinked(text, source) == (moved, copied)
