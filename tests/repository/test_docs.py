"""The pages hold together: links, pictures, versions."""

import importlib.util
import json
import os
import re
from html import unescape
from pathlib import Path

import pytest
import yaml
from workflow import snakemake

import spdclust
from spdclust.core import code_fingerprint
from spdclust.execution.batch_jobs import rule_and_runs

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("config/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    broken = [link for link in links if not re.match(r"[a-z]+:", link) and not (page.parent / link).exists()]
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        waiting += [page.parent / link for link in re.findall(r"\]\(([^)#\s]+)", page.read_text())]
    assert {page.name for page in PAGES} - {page.name for page in reached} == set()


def test_the_citation_names_this_version() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == spdclust.__version__


def test_the_rule_graph_in_the_docs_is_that_of_the_workflow() -> None:
    outcome = snakemake(ROOT, dict(os.environ), ["--forceall", "--rulegraph", "dot"])
    assert outcome.code == 0, outcome.output
    names = {
        node: rule_and_runs(name)[0] for node, name in re.findall(r'(\d+)\[label = "(\w+)"', outcome.output)
    }
    wanted = {
        (names[first], names[second]) for first, second in re.findall(r"(\d+) -> (\d+)", outcome.output)
    }
    drawn = unescape((ROOT / "docs/images/rulegraph.svg").read_text())
    names = dict(
        re.findall(r'class="node">\s*<title>(\d+)</title>.*?<text[^>]*>(\w+)</text>', drawn, re.DOTALL)
    )
    edges = re.findall(r"<title>(\d+)->(\d+)</title>", drawn)
    assert {(names[first], names[second]) for first, second in edges} == wanted


def make_images():
    spec = importlib.util.spec_from_file_location("make_images", ROOT / "docs/make_images.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_picture_is_older_than_what_draws_it() -> None:
    module = make_images()
    drawn, now = json.loads(module.RECORD.read_text()), module.made_by()
    old = [name for name in now if drawn.get(name) != now[name]]
    assert old == [], (
        f"drawn by other code, or from other settings, than now: {', '.join(old)}; make docs-images"
    )


PAGES_SHOWN = {"explorer_component", "explorer_group", "explorer_groups", "explorer_large"}


@pytest.mark.parametrize(
    ("module", "old"),
    [
        ("plotting.merges", {"figure_cluster_sizes", "figure_mdl", "figure_merge_tree"}),
        ("explorer.page", PAGES_SHOWN),
        ("stages.results", set()),
        ("files.ensembles", set()),
        ("merge.history", set()),
        ("stability.coclustering", set()),
    ],
)
def test_a_picture_is_old_after_a_change_of_what_draws_it_and_of_nothing_else(monkeypatch, module, old):
    made_by = make_images().made_by
    before, source = made_by(), code_fingerprint._source

    def changed(name: str):
        found = source(name)
        if name != f"spdclust.{module}":
            return found
        return found._replace(
            statements=[each._replace(code=f"{each.code}, changed") for each in found.statements]
        )

    monkeypatch.setattr(code_fingerprint, "_source", changed)
    for cached in ("_fingerprint", "_statement"):
        monkeypatch.setattr(code_fingerprint, cached, getattr(code_fingerprint, cached).__wrapped__)
    now = made_by()
    assert {name for name in now if now[name] != before[name]} == old


def test_every_picture_is_made_by_a_command_and_shown_on_a_page() -> None:
    module = make_images()
    by_benchmarks = {name: ROOT / "benchmarks" / script for name, script in module.BY_BENCHMARKS.items()}
    assert all(script.is_file() for script in by_benchmarks.values())
    assert {path.stem for path in module.IMAGES.glob("*.png")} == module.made_by().keys() | by_benchmarks
    shown = {link for page in PAGES for link in re.findall(r"images/(\w+)\.png\)", page.read_text())}
    assert shown == module.made_by().keys() | by_benchmarks
