"""Pages to open, made once, and the browser that opens them."""

import contextlib
from pathlib import Path

import pytest
from browser.chromium import Chromium, find_chromium
from browser.ensembles import generate

from spdclust.commands.cli import main
from spdclust.files.groups import save_groups
from spdclust.files.histories import save_merge_history
from spdclust.pipeline import cluster_analysis_pipeline
from spdclust.stages.distances import distances
from spdclust.stages.stability import stability

REPOSITORY = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what opens one page on one worker: the page of 13,000 components takes a while to make."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            page = getattr(item, "callspec", None)
            large = page is not None and "large" in page.id
            item.add_marker(pytest.mark.xdist_group("large" if large else "demo"))


@pytest.fixture(scope="session")
def browser():
    executable = find_chromium()
    if executable is None:
        pytest.fail("there is no Chromium; `make test-browser` installs it where it can")
    started = Chromium(executable)
    yield started
    started.close()


@pytest.fixture
def opened(browser):
    """Open pages that are closed when the test ends, and have not complained or asked for anything till then."""
    pages = []

    def open_page(path, **how):
        pages.append(browser.open(path, **how))
        return pages[-1]

    yield open_page
    for page in pages:
        assert page.complaints == []
        assert {request.partition("#")[0] for request in page.requests} <= {page.url, "about:blank"}
        page.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The demonstration's ensemble with its page."""
    folder = tmp_path_factory.mktemp("demo")
    with contextlib.chdir(REPOSITORY):
        found = cluster_analysis_pipeline("config/pipelines/demo.yaml", results=folder)
    return make_page(found.folder)


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """Ten runs of 13,000 components."""
    folder = generate(tmp_path_factory.mktemp("large"))
    methods = ("perm_invariant_hamming", "matching_dist")
    distances(folder, {method: folder / f"distances_{method}.npz" for method in methods}, threads=2)
    stability(folder, methods, folder, threads=2)
    return make_page(folder)


def make_page(folder):
    assert main(["explorer", str(folder)]) == 0
    return folder


@pytest.fixture
def page_of(tmp_path):
    """Make the page of some histories, with distances and stability where there are any, and groups."""

    def make(*histories, found=None, batches=()):
        folder = tmp_path / "an" / "ensemble"
        for run, each in enumerate(histories):
            path = folder / "runs" / f"run_{run}" / "history.zip"
            path.parent.mkdir(parents=True)
            save_merge_history(each, path)
        if len(histories) > 1 and all(each.n_iterations for each in histories):
            distances(folder, {"matching_dist": folder / "distances_matching_dist.npz"})
            stability(folder, ["matching_dist"], folder)
        for run, batch in enumerate(batches):
            path = folder.parent / "precomputed_batches" / f"run_{run}" / "batch_0.pt"
            path.parent.mkdir(parents=True)
            batch.save(path)
        if found is not None:
            save_groups(found, folder, ensemble="an/ensemble")
        return make_page(folder) / "explorer.html"

    return make
