"""The page of an ensemble as its readers open it: from disk, in a real browser, without network."""

import csv
import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest
from browser.ensembles import history
from found_groups import groups_by_hand
from PIL import Image

from spdclust.commands.cli import main
from spdclust.files.batches import ActivationBatch
from spdclust.files.ensembles import load_distance_rows
from spdclust.files.histories import load_merge_histories
from spdclust.files.stability import load_stability_iterations, load_stability_record
from spdclust.files.stored_batch import TokenExamples
from spdclust.merge.activations import ProcessedActivations

pytestmark = pytest.mark.browser

ROWS = """[...document.querySelectorAll('#group-table tbody tr')].map(row => ({
  group: Number(row.dataset.group),
  values: [...row.querySelectorAll('[data-value]')].map(each => Number(each.dataset.value)),
}))"""


def at_merge(page):
    """Go to the second tab."""
    click(page, "[data-to=merge]")
    return page


def go_to(page, iteration, view=None):
    """Move the slider, as a reader would, and choose whose groups are shown."""
    if view is not None:
        page.evaluate(_choose("view", view))
    page.evaluate(_choose("slider", iteration, "input"))
    page.settle()
    assert page.evaluate("document.documentElement.dataset.iteration") == str(iteration)


def _choose(control, value, event="change"):
    return (
        f"(() => {{ const control = document.getElementById('{control}'); control.value = {json.dumps(str(value))};"
        f" control.dispatchEvent(new Event('{event}', {{ bubbles: true }})); }})()"
    )


def click(page, selector):
    page.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
    page.settle()


def text_of(page, selector):
    return page.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")


def values_in(page, selector):
    found = page.evaluate(
        f"[...document.querySelector({json.dumps(selector)}).querySelectorAll('[data-value]')].map(n => n.dataset.value)"
    )
    return [float(value) for value in found]


def groups_by_size(merged, iteration):
    """Return size and smallest member of the groups of two and more, as the table has them at first."""
    groups = merged.group_idxs(iteration)
    sizes = np.bincount(groups)
    numbers = [int(n) for n in np.argsort(-sizes, kind="stable") if sizes[n] > 1]
    return numbers, sizes


@pytest.fixture(params=["demo", "large"])
def ensemble(request):
    return request.getfixturevalue(request.param)


def test_the_page_opens_from_disk_alone_and_stays_under_five_megabytes(ensemble, opened, tmp_path):
    alone = tmp_path / "moved.html"  # nothing beside it
    alone.write_bytes((ensemble / "explorer.html").read_bytes())
    assert alone.stat().st_size < 5_000_000
    page = opened(alone)
    assert page.evaluate("document.documentElement.dataset.tab") == "groups"
    assert "expected by chance" in text_of(page, "#found-headline")
    assert "groups of two or more components" in text_of(at_merge(page), "#groups-heading")
    assert page.evaluate("document.querySelectorAll('[src], link, iframe, object').length") == 0


@pytest.mark.parametrize("fragment", ["", "#t=40"], ids=["groups", "merge"])
def test_the_first_paint_takes_less_than_two_seconds(ensemble, opened, fragment):
    page = opened(ensemble / "explorer.html")
    page.call("Performance.enable", timeDomain="threadTicks")
    taken = []
    for _ in range(3):  # the least of three: what else this machine does is not the page's doing
        page.load(fragment)
        told = page.evaluate(
            "[document.documentElement.dataset.firstPaint, document.documentElement.dataset.drawn]"
        )
        taken.append([*map(float, told), 1000 * page.busy_seconds])
    painted, drawn, busy = np.min(taken, axis=0)
    print(f"first paint {painted:.0f} ms, everything drawn {drawn:.0f} ms, of which {busy:.0f} ms of CPU")
    # JavaScript rounds halves up, Python to even: 840.5 was seen
    assert f"Drawn {math.floor(taken[-1][1] + 0.5)} ms after opening" in text_of(page, "#footer")
    assert painted < 2000
    assert 0 < busy < 2000


def test_the_slider_changes_the_table_to_the_groups_of_that_iteration(ensemble, opened):
    page = at_merge(opened(ensemble / "explorer.html"))
    histories = load_merge_histories(ensemble)
    n_iterations = min(each.n_iterations for each in histories)
    for run, iteration in ((0, n_iterations - 1), (1, n_iterations // 2), (1, 0)):
        go_to(page, iteration, view=run)
        numbers, sizes = groups_by_size(histories[run], iteration)
        rows = page.evaluate(ROWS)
        assert [row["group"] for row in rows] == numbers[:50]
        assert [row["values"][0] for row in rows] == [sizes[number] for number in numbers[:50]]
        assert (
            float(page.evaluate("document.getElementById('k').value")) == histories[run].k_groups[iteration]
        )


def test_activities_are_those_that_the_runs_recorded(ensemble, opened):
    page = at_merge(opened(ensemble / "explorer.html"))
    merged = load_merge_histories(ensemble)[1]
    iteration = min(each.n_iterations for each in load_merge_histories(ensemble)) * 2 // 3
    go_to(page, iteration, view=1)
    recorded = {}
    for t in range(
        merged.n_iterations - 1, iteration, -1
    ):  # the next merge of a group is the one that counts
        before = merged.selected_pairs[t]
        groups = merged.group_idxs(t - 1) if merged.n_components < 1000 else None
        if groups is None:
            break
        for which, group in zip(("first", "second"), before, strict=True):
            recorded[int(np.flatnonzero(groups == group)[0])] = merged.records[f"activity_{which}"][t]
    groups = merged.group_idxs(iteration)
    for row in page.evaluate(ROWS):
        first = int(np.flatnonzero(groups == row["group"])[0])
        if first in recorded:
            assert row["values"][1] == recorded[first]
        else:
            assert 0 < row["values"][1] <= 1


def test_search_finds_a_component_by_its_label(ensemble, opened):
    page = at_merge(opened(ensemble / "explorer.html"))
    merged = load_merge_histories(ensemble)[0]
    label = merged.labels[len(merged.labels) // 3]
    page.evaluate("document.getElementById('search').focus()")
    page.call("Input.insertText", text=label)
    page.settle()
    assert label in page.evaluate("[...document.querySelectorAll('#found button')].map(b => b.innerText)")
    shown = [row["group"] for row in page.evaluate(ROWS)]
    click(page, "#found button")
    assert text_of(page, "#panel-heading").startswith(label)
    group = int(text_of(page, "#panel dl").split("group now\n")[1].split(" ")[0])
    assert group in shown
    page.evaluate(_choose("search", "no such component anywhere", "input"))
    assert page.evaluate(ROWS) == []
    assert "No component of that name" in text_of(page, "#found")


def test_distances_and_curves_are_those_of_the_files(ensemble, opened):
    page = at_merge(opened(ensemble / "explorer.html"))
    kept, between = load_distance_rows(ensemble / "distances_matching_dist.npz")
    table = load_stability_iterations(ensemble / "stability_iterations.csv")
    page.evaluate(_choose("distance-method", "matching_dist"))
    for iteration in (
        int(kept[-1]),
        load_stability_record(ensemble / "stability.json")["cuts"]["least_mdl"]["iteration"],
    ):
        go_to(page, iteration, view=-1)
        shown = page.evaluate(
            "[...document.querySelectorAll('#distances rect')].map(r => [r.dataset.pair, r.dataset.value])"
        )
        values = np.array([float(value) for _, value in shown]).reshape(between.shape[1:])
        np.testing.assert_array_equal(values, between[iteration])
        median, mean, chance = values_in(page, "#agreement-readout")
        assert median == table["matching_dist.q50"][iteration]
        assert mean == table["matching_dist.mean"][iteration]
        assert chance == table["null.matching_dist.q50"][iteration]
        (mdl,) = values_in(page, "#mdl-readout")
        assert mdl == pytest.approx(table["mdl"][iteration], rel=1e-14)
        go_to(page, iteration, view=1)
        assert values_in(page, "#mdl-readout") == [load_merge_histories(ensemble)[1].mdl_loss[iteration]]


@pytest.mark.parametrize("cut", ["least_mdl", "stability_drop"])
def test_consensus_and_contested_components_are_those_of_the_stability_analysis(ensemble, cut, opened):
    page = at_merge(opened(ensemble / "explorer.html"))
    record = load_stability_record(ensemble / "stability.json")
    at = record["cuts"][cut]
    click(page, f"button[data-cut={cut}]")
    with (ensemble / "stability_groups.csv").open() as file:
        groups = {int(row["group"]): row for row in csv.DictReader(file) if row["cut"] == cut}
    rows = page.evaluate(ROWS)
    assert len(rows) == min(50, sum(int(row["size"]) > 1 for row in groups.values()))
    for row in rows:
        assert row["values"][0] == int(groups[row["group"]]["size"])
        assert row["values"][-2] == float(groups[row["group"]]["support"])
    k, support, *null = values_in(page, "#headline")
    assert k == at["n_consensus_groups"]
    assert support == pytest.approx(at["mean_support"], rel=1e-12)
    if record["cuts"]["least_mdl"]["iteration"] != record["cuts"]["stability_drop"]["iteration"]:
        assert null == [at["null"]["mean_support"]]
    with (ensemble / "stability_components.csv").open() as file:
        contested = [
            row for row in csv.DictReader(file) if row["cut"] == cut and float(row["contestedness"]) > 0
        ]
    assert text_of(page, "#contested-heading").startswith(f"{len(contested):,} contested component")
    expected = [
        [float(row[column]) for column in ("contestedness", "consistency", "partners")]
        for row in contested[:12]
    ]
    shown = page.evaluate(
        "[...document.querySelectorAll('[data-contested]')].map(row => [...row.querySelectorAll('[data-value]')].map(n => Number(n.dataset.value)))"
    )
    assert shown == expected


def test_the_mapping_is_the_file_that_the_command_writes(ensemble, opened, tmp_path):
    page = at_merge(opened(ensemble / "explorer.html"))
    click(page, "#mapping summary")
    for iteration, run in ((40, -1), (45, 1)):
        go_to(page, iteration, view=run)
        of = [] if run < 0 else ["--run", str(run)]
        written = tmp_path / f"{run}.json"
        assert (
            main(
                ["mapping", str(ensemble), *of, "--cut", f"merges_{iteration + 1}", "--output", str(written)]
            )
            == 0
        )
        assert page.evaluate("document.querySelector('#mapping textarea').value") == written.read_text()


def test_the_mapping_can_be_copied(demo, browser, opened):
    page = at_merge(opened(demo / "explorer.html"))
    browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.call("Page.bringToFront")
    click(page, "#copy-mapping")
    said = text_of(page, "#mapping-body")
    assert "Copied." in said or "press Ctrl+C" in said
    click(page, "#mapping summary") if "Copied." in said else None
    copied = json.loads(page.evaluate("document.querySelector('#mapping textarea').value"))
    assert copied == json.loads((demo / "cluster_mapping_consensus_least_mdl.json").read_text())


def test_a_group_tells_its_members_how_they_fire_and_what_they_merged_with(demo, opened):
    page = at_merge(opened(demo / "explorer.html"))
    merged = load_merge_histories(demo)[2]
    batch = ActivationBatch.load(demo.parent / "precomputed_batches" / "run_0" / "batch_0.pt")
    go_to(page, 100, view=2)
    number = page.evaluate(ROWS)[1]["group"]
    click(page, f"[data-group='{number}'] button")
    members = merged.at(100).members(number)
    shown = page.evaluate("[...document.querySelectorAll('#panel .members li')].map(li => li.innerText)")
    assert sum(len(line.split()) - 1 for line in shown) == len(members)
    active = batch.matrix[:, [batch.labels.index(label) for label in members]].toarray() > 0.1
    cells = page.evaluate(
        "[...document.querySelectorAll('.matrix [data-pair]')].map(c => [Number(c.dataset.together), Number(c.dataset.single)])"
    )
    n = len(members)
    expected = {
        (int((active[:, a] & active[:, b]).sum()), int(active[:, a].sum()))
        for a in range(n)
        for b in range(n)
        if a != b
    }
    assert {tuple(cell) for cell in cells} == expected
    labels = set(members)
    later = next(t for t in range(101, merged.n_iterations) if len(_group_of(merged, members[0], t)) > n)
    joined = _group_of(merged, members[0], later)
    assert labels < joined
    row = page.evaluate("[...document.querySelectorAll('#run-table tbody tr')][2].innerText")
    assert f"merge {later + 1}" in row
    assert "all together, nobody else" in row


def _group_of(merged, label, iteration):
    groups = merged.group_idxs(iteration)
    return {merged.labels[c] for c in np.flatnonzero(groups == groups[merged.labels.index(label)])}


def test_a_component_tells_its_path_up_the_tree(demo, opened):
    page = at_merge(opened(demo / "explorer.html"))
    merged = load_merge_histories(demo)[3]
    label = merged.labels[20]
    go_to(page, 0, view=3)
    page.evaluate(_choose("search", label, "input"))
    click(page, "#found button")
    sizes = [len(_group_of(merged, label, t)) for t in range(merged.n_iterations)]
    steps = [t for t in range(merged.n_iterations) if sizes[t] != (sizes[t - 1] if t else 1)]
    lines = page.evaluate("[...document.querySelectorAll('#panel .path li')].map(li => li.innerText)")
    assert [int(line.split(":")[0].removeprefix("merge ")) - 1 for line in lines] == steps
    assert [int(line.rsplit("then ", 1)[1]) for line in lines] == [sizes[t] for t in steps]
    click(page, "#panel .path button")
    assert page.evaluate("document.documentElement.dataset.iteration") == str(steps[0])


def test_a_click_on_a_curve_goes_to_that_iteration(demo, opened):
    page = at_merge(opened(demo / "explorer.html"))
    for figure in ("agreement", "mdl"):
        box = page.evaluate(
            f"(() => {{ const b = document.querySelector('#{figure} svg').getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; }})()"
        )
        before = page.evaluate("document.documentElement.dataset.iteration")
        for kind in ("mousePressed", "mouseReleased"):
            page.call(
                "Input.dispatchMouseEvent", type=kind, x=box[0] + box[2] * (0.3 if figure == "mdl" else 0.7),
                y=box[1] + 60, button="left", buttons=1, clickCount=1,
            )  # fmt: skip
        page.settle()
        assert page.evaluate("document.documentElement.dataset.iteration") != before


def test_everything_is_reached_without_a_mouse(demo, opened):
    page = at_merge(opened(demo / "explorer.html"))
    page.evaluate("document.getElementById('slider').focus()")
    before = int(page.evaluate("document.documentElement.dataset.iteration"))
    page.key("ArrowLeft", 37)
    assert int(page.evaluate("document.documentElement.dataset.iteration")) == before - 1
    reached = set()
    for _ in range(60):
        page.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        page.call("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
        if page.evaluate("Boolean(document.activeElement.closest('[data-group]'))"):
            break
    assert {
        "iteration",
        "k",
        "method",
        "search",
        "module",
        "support",
        "singletons",
        "sort",
        "link",
    } <= reached
    number = page.evaluate("document.activeElement.innerText")
    page.key("Enter", 13, "\r")
    assert page.evaluate("document.activeElement.id") == "panel-heading"
    assert text_of(page, "#panel-heading").startswith(f"Group {number} ")
    page.key("Escape", 27)
    assert page.evaluate("document.activeElement.innerText") == number
    assert "How to read the merge" in text_of(page, "#panel")


def test_columns_sort_and_filters_filter(demo, opened):
    page = at_merge(opened(demo / "explorer.html"))
    click(page, "#group-table th:nth-child(4) .sort")
    supports = [row["values"][-2] for row in page.evaluate(ROWS)]
    assert supports == sorted(supports, reverse=True)
    assert (
        page.evaluate("document.querySelector('#group-table th:nth-child(4)').getAttribute('aria-sort')")
        == "descending"
    )
    click(page, "#group-table th:nth-child(4) .sort")
    assert [row["values"][-2] for row in page.evaluate(ROWS)] == sorted(supports)
    page.evaluate(_choose("support", "0.8", "input"))
    assert len(page.evaluate(ROWS)) == sum(support >= 0.8 for support in supports)
    page.evaluate(_choose("support", "0", "input"))
    page.evaluate(_choose("module", "layers.0.mlp_out", "input"))
    assert 0 < len(page.evaluate(ROWS)) < len(supports)


def test_it_is_light_or_dark_as_asked_and_prints_dark_on_light(demo, opened):
    shades = {}
    for dark in (False, True):
        page = at_merge(opened(demo / "explorer.html", dark=dark))
        shades[dark] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert shades[False] != shades[True]
    scheme = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.call("Emulation.setEmulatedMedia", media="print", features=scheme)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('.filters')).display") == "none"
    page.call("Emulation.setEmulatedMedia", media="screen", features=scheme)
    click(page, "#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


SHAPES = """(() => {
  const faults = [];
  const seen = (node) => node.getClientRects().length > 0;
  const box = (node) => node.getBoundingClientRect();
  for (const label of document.querySelectorAll("label[for]:not(.hidden)")) {
    const control = document.getElementById(label.htmlFor);
    if (!seen(label) || !seen(control)) continue;
    const [a, b] = [box(label), box(control)];
    if (a.bottom < b.top || b.bottom < a.top || b.left < a.left || b.right > innerWidth) faults.push(`parted: ${label.innerText}`);
  }
  for (const chip of document.querySelectorAll("button.chip")) {
    if (!seen(chip) || chip.innerText.length > 30) continue;
    if (box(chip).height > 1.9 * parseFloat(getComputedStyle(chip).fontSize) * 1.45) faults.push(`broken: ${chip.innerText}`);
  }
  return faults;
})()"""


def colours(png):
    """Return how many colours a part of a screenshot has: one where nothing is drawn."""
    return len(np.unique(np.asarray(png.convert("RGB")).reshape(-1, 3), axis=0))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [420, 900, 1400])
def test_a_screenshot_shows_what_was_clicked(demo, opened, tmp_path, width, dark):
    page = opened(demo / "explorer.html", width=width, height=900, dark=dark)
    for tab, row in (("groups", "data-found"), ("merge", "data-group")):
        click(page, f"[data-to={tab}]")
        assert page.evaluate(SHAPES) == []
        page.evaluate(f"document.querySelector('[{row}=\"1\"]').scrollIntoView({{ block: 'center' }})")
        page.screenshot(tmp_path / "before.png")
        click(page, f"[{row}='1']")
        assert page.evaluate(SHAPES) == []
        page.screenshot(tmp_path / "after.png")
        before, after = (Image.open(tmp_path / f"{name}.png") for name in ("before", "after"))
        left, top, right, bottom = page.evaluate(
            "(() => { const b = document.getElementById('panel-heading').getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })()"
        )
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= 900
        heading = after.crop((int(left), int(top), int(right), int(bottom)))
        assert colours(heading) > 5  # letters, and not only their background
        assert (
            np.asarray(heading).tobytes()
            != np.asarray(before.crop((int(left), int(top), int(right), int(bottom)))).tobytes()
        )
        shade = np.asarray(after.convert("L"))
        assert (np.median(shade) < 100) == dark
        page.key("Escape", 27)


@pytest.mark.parametrize("width", [900, 1400])
def test_definitions_are_wide_enough_to_read_and_inside_the_window(demo, opened, width):
    page = opened(demo / "explorer.html", width=width, height=800)
    n = page.evaluate("document.querySelectorAll('#found-table thead .help').length")
    assert n > 4
    for number in range(n):
        page.evaluate(f"document.querySelectorAll('#found-table thead .help')[{number}].click()")
        boxes = page.evaluate(
            "[...document.querySelectorAll('.definition')].filter(each => !each.hidden).map(each => { const b = each.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })"
        )
        assert len(boxes) == 1  # the one before is closed
        left, top, right, bottom = boxes[0]
        assert right - left > 380
        assert (left >= 0, top >= 0, right <= width, bottom <= 800) == (True,) * 4
        inside = f"document.elementFromPoint({(left + right) / 2}, {(top + bottom) / 2}).className"
        assert page.evaluate(inside) == "definition"  # nothing lies over it
    page.key("Escape", 27)
    assert page.evaluate("[...document.querySelectorAll('.definition')].every(each => each.hidden)")


def saved(page, selector):
    """Return name and text of what a button saves."""
    page.evaluate(
        "window.savedFiles = []; window.objectUrl ||= URL.createObjectURL; URL.createObjectURL = blob => { window.lastBlob = blob; return window.objectUrl.call(URL, blob); };"
        "HTMLAnchorElement.prototype.click = function () { window.savedFiles.push(this.download); }"
    )
    page.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
    return page.evaluate("window.lastBlob.text().then(text => [window.savedFiles[0], text])")


def test_the_table_and_the_charts_can_be_saved(demo, opened):
    page = opened(demo / "explorer.html")
    name, text = saved(page, "#found-table .save")
    assert name == "groups_of_the_page.csv"
    rows = list(csv.DictReader(text.splitlines()))
    record = json.loads((demo / "groups.json").read_text())
    assert [sorted(row["modules"].split()) for row in rows] == [
        sorted(g["members"]) for g in record["groups"]
    ]
    assert [float(row["bits saved"]) for row in rows] == [g["bits_saved"] for g in record["groups"]]
    assert [row["name"] for row in rows] == [g["name"] for g in record["groups"]]
    name, text = saved(page, "#answers .save")
    assert name == "bits_per_sample.csv"
    bits = [float(row["bits per sample"]) for row in csv.DictReader(text.splitlines())]
    assert bits == sorted((b for b in record["bits"].values() if b is not None), reverse=True)
    name, text = saved(page, "#pairs .save")
    assert name == "similarity_of_pairs.csv"
    pairs = {row.pop("pairs"): list(map(float, row.values())) for row in csv.DictReader(text.splitlines())}
    assert pairs == {
        f"{kind} groups": [record["cohesion"][kind][key] for key in ("mean", "median", "never")]
        for kind in ("inside", "between")
    }
    at_merge(page)
    for figure in ("agreement", "mdl", "distances"):
        name, text = saved(page, f"#{figure} .save")
        drawing = ElementTree.fromstring(text)
        assert name.endswith(".svg")
        assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
        shapes = list(drawing.iter())
        assert (
            len(shapes)
            == page.evaluate(f"document.querySelectorAll('#{figure} svg, #{figure} svg *').length") + 1
        )
        assert all(each.get("fill") for each in shapes)  # without the page's style sheet


def test_every_number_of_a_group_has_what_chance_gives_beside_it(demo, opened):
    page = opened(demo / "explorer.html")
    click(page, "[data-found='1'] button")
    facts = dict(
        page.evaluate(
            "[...document.querySelectorAll('#panel dl div')].map(row => [row.querySelector('dt').firstChild.textContent, row.querySelector('dd').innerText])"
        )
    )
    for name in ("bits saved", "support", "runs with exactly this group", "activity", "cohesion", "lift"):
        assert "by chance: " in facts[name] or "if independent: " in facts[name], name
    at_merge(page)
    iteration = load_stability_record(demo / "stability.json")["cuts"]["least_mdl"]["iteration"]
    go_to(page, iteration, view=-1)
    click(page, "[data-group] button")
    support, exact = page.evaluate(
        "[...document.querySelectorAll('#panel dl [data-chance]')].map(each => Number(each.dataset.chance))"
    )
    runs = load_merge_histories(demo)
    labels = {label for run in runs for label in run.labels}
    shares = []
    for run in runs:
        sizes = run.at(iteration).sizes()
        assert set(run.labels) <= labels
        shares.append((sizes * (sizes - 1)).sum() / (run.n_components * (run.n_components - 1)))
    assert support == pytest.approx(np.mean(shares))
    assert 0 <= exact < 0.01


def test_a_group_is_found_by_its_permanent_name(demo, opened):
    page = opened(demo / "explorer.html")
    group = json.loads((demo / "groups.json").read_text())["groups"][3]
    page.evaluate(_choose("found-search", group["name"], "input"))
    assert [row["group"] for row in page.evaluate(FOUND_ROWS)] == [3]
    click(page, "[data-found='3'] button")
    assert text_of(page, "#group-name") == group["name"]


@pytest.mark.parametrize("width", [390, 420, 900, 1400])
@pytest.mark.parametrize("row", ["data-found", "data-group"])
def test_it_fits_its_window_and_a_click_brings_the_details_into_view(demo, opened, width, row):
    page = opened(demo / "explorer.html", width=width, height=800)
    if row == "data-group":
        at_merge(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    last = f"[...document.querySelectorAll('[{row}]')].at(-1)"
    page.evaluate(f"({last}).scrollIntoView({{ block: 'center' }})")
    page.evaluate(f"({last}).click()")
    page.settle()
    number = page.evaluate(f"({last}).getAttribute('{row}')")
    assert text_of(page, "#panel-heading").startswith(f"Group {number} ")
    box = "(() => { const b = %s.getBoundingClientRect(); return [b.top, b.bottom]; })()"
    top, bottom = page.evaluate(box % "document.getElementById('panel-heading')")
    assert 0 <= top < bottom <= 800
    covering = "document.elementFromPoint(document.getElementById('panel-heading').getBoundingClientRect().left + 5, %f).closest('#panel')"
    assert page.evaluate(f"Boolean({covering % ((top + bottom) / 2)})")  # nothing lies over it
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.key("Escape", 27)
    top, bottom = page.evaluate(box % last)
    assert 0 <= top < bottom <= 800


def test_an_address_leads_back_to_a_found_group(demo, opened):
    page = opened(demo / "explorer.html")
    click(page, "[data-found='1'] button")
    title, fragment = text_of(page, "#panel-heading"), page.evaluate("location.hash")
    page.load(fragment)
    assert title.startswith("Group 1 ")
    assert text_of(page, "#panel-heading") == title
    assert page.evaluate("document.documentElement.dataset.tab") == "groups"


def test_an_address_leads_back_to_what_was_looked_at(demo, opened):
    page = at_merge(opened(demo / "explorer.html"))
    go_to(page, 77, view=4)
    click(page, "[data-group] button")
    title, fragment = text_of(page, "#panel-heading"), page.evaluate("location.hash")
    page.load(fragment)
    assert page.evaluate("document.documentElement.dataset.iteration") == "77"
    assert text_of(page, "#panel-heading") == title


FOUND_ROWS = ROWS.replace("#group-table", "#found-table").replace("dataset.group", "dataset.found")


def found_rows(folder):
    """Return the values that the table shows, from groups.csv: size, bits, error, support, ... without lift."""
    columns = ("size", "bits_saved", "bits_saved_se", "support", "runs_exact", "activity", "cohesion", "lift")
    with (folder / "groups.csv").open(newline="") as file:
        return [
            {"group": int(row["group"])} | {name: float(row[name]) for name in columns}
            for row in csv.DictReader(file)
        ]


def test_the_first_view_is_the_table_of_groups_csv(ensemble, opened):
    page = opened(ensemble / "explorer.html")
    expected = found_rows(ensemble)
    shown = page.evaluate(FOUND_ROWS)
    assert [row["group"] for row in shown] == [row["group"] for row in expected[:50]]
    for row, of_file in zip(shown, expected[:50], strict=True):
        size, bits, error, support, exact, activity, by_chance, cohesion, cohesion_by_chance, lift = row[
            "values"
        ]
        assert [size, bits, error, support, exact, activity, cohesion, lift] == list(of_file.values())[1:]
        assert 0 <= by_chance <= 1
        assert 0 <= cohesion_by_chance <= 1
    record = json.loads((ensemble / "groups.json").read_text())
    saved = record["bits"]["alone"] - record["bits"]["answer"]
    headline = [
        record["n_groups"],
        record["expected_false"],
        record["n_alone"],
        saved,
        record["bits"]["alone"],
    ]
    assert values_in(page, "#found-headline") == headline
    assert text_of(page, "#null-readout").startswith(f"{len(record['null_groups'])} null runs: ")
    assert values_in(page, "#null-readout") == [record["expected_false"], record["n_groups"]]
    assert values_in(page, "#busy-readout") == [pytest.approx(np.mean(record["null_groups_busy"]))]
    answers = page.evaluate(
        "[...document.querySelectorAll('[data-answer]')].map(row => [row.dataset.answer, Number(row.querySelector('[data-value]').dataset.value)])"
    )
    assert dict(answers) == record["bits"]
    assert [bits for _, bits in answers] == sorted(record["bits"].values(), reverse=True)


def test_a_found_group_shows_its_evidence_in_every_run(demo, opened):
    page = opened(demo / "explorer.html")
    record = json.loads((demo / "groups.json").read_text())
    for group in record["groups"][:4]:
        click(page, f"[data-found='{group['group']}'] button")
        shown = page.evaluate(
            "[...document.querySelectorAll('#panel .members [data-component]')].map(b => Number(b.dataset.component))"
        )
        labels = sorted({label for history in load_merge_histories(demo) for label in history.labels})
        assert sorted(labels[c] for c in shown) == sorted(group["members"])
        rows = page.evaluate(
            "[...document.querySelectorAll('#found-runs tbody tr')].map(row => [...row.querySelectorAll('[data-value]')].map(n => Number(n.dataset.value)))"
        )
        bits, similarities = zip(*rows, strict=True)
        assert list(bits) == group["bits_saved_runs"]
        assert np.mean(similarities) == pytest.approx(group["support"])
        assert sum(similarity == 1 for similarity in similarities) == group["runs_exact"]


def test_how_members_fire_together_is_compared_with_independence(demo, opened):
    page = opened(demo / "explorer.html")
    batch = ActivationBatch.load(demo.parent / "precomputed_batches" / "run_0" / "batch_0.pt")
    group = next(
        each for each in json.loads((demo / "groups.json").read_text())["groups"] if 2 < each["size"] < 9
    )
    click(page, f"[data-found='{group['group']}'] button")
    names = group["members"] + [each["label"] for each in group["shared_members"]]
    active = batch.matrix[:, [batch.labels.index(label) for label in names]].toarray() > 0.1
    rates = page.evaluate(
        "[...document.querySelectorAll('.matrix [data-independent]')].map(c => Number(c.dataset.independent))"
    )
    assert sorted(rates) == sorted(active.mean(axis=0).tolist())
    together = active.T.astype(int) @ active
    n = len(names)
    observed = [
        together[a, b] / together[a, a] for a in range(n) for b in range(n) if a != b and together[a, a]
    ]
    expected = [active[:, b].mean() for a in range(n) for b in range(n) if a != b and together[a, a]]
    assert values_in(page, "#cofiring-readout") == pytest.approx([np.mean(observed), np.mean(expected)])


def test_groups_have_one_number_everywhere(demo, opened):
    page = opened(demo / "explorer.html")
    click(page, "#files summary")
    copied = page.evaluate("document.querySelector('#files textarea').value")
    assert copied == (demo / "cluster_mapping_groups.json").read_text()
    click(page, "[data-found='2'] button")
    title = text_of(page, "#panel-heading")
    member = page.evaluate("document.querySelector('#panel .members [data-component]').dataset.component")
    click(page, "#panel .members [data-component]")
    assert "2 (" in text_of(page, "#panel dl")
    at_merge(page)  # a component stays open
    assert page.evaluate("location.hash").endswith(f"component={member}")
    click(page, "#panel dl [aria-label='Open group 2']")
    assert page.evaluate("document.documentElement.dataset.tab") == "groups"
    assert text_of(page, "#panel-heading") == title


def test_a_found_group_leads_to_the_merge_that_made_it(demo, opened):
    page = opened(demo / "explorer.html")
    record = json.loads((demo / "groups.json").read_text())
    group = next(each for each in record["groups"] if each["runs_exact"] == record["settings"]["n_runs"])
    click(page, f"[data-found='{group['group']}'] button")
    click(page, "#found-runs tbody tr:nth-child(2) button")
    merged = load_merge_histories(demo)[1]
    iteration = int(page.evaluate("document.documentElement.dataset.iteration"))
    assert _group_of(merged, group["members"][0], iteration) == set(group["members"])
    assert len(_group_of(merged, group["members"][0], iteration - 1)) < group["size"]
    assert page.evaluate("document.documentElement.dataset.tab") == "merge"
    assert page.evaluate("document.getElementById('view').value") == "1"
    assert f"group {group['group']} (all of it)" in text_of(page, "#panel dl")


def test_found_groups_are_searched_filtered_and_sorted(demo, opened):
    page = opened(demo / "explorer.html")
    record = json.loads((demo / "groups.json").read_text())
    label = record["groups"][1]["members"][0]
    page.evaluate(_choose("found-search", label, "input"))
    named = [
        group["group"] for group in record["groups"] if any(label in member for member in group["members"])
    ]
    assert [row["group"] for row in page.evaluate(FOUND_ROWS)] == named
    page.evaluate(_choose("found-search", "", "input"))
    page.evaluate(_choose("found-module", "layers.0.mlp_in", "input"))
    here = [g["group"] for g in record["groups"] if any("mlp_in:" in member for member in g["members"])]
    assert [row["group"] for row in page.evaluate(FOUND_ROWS)] == here
    page.evaluate(_choose("found-module", "", "input"))
    click(page, "#found-table th:nth-child(2) .sort")
    sizes = [row["values"][0] for row in page.evaluate(FOUND_ROWS)]
    assert sizes == sorted((group["size"] for group in record["groups"]), reverse=True)
    page.evaluate(_choose("found-search", "no such component", "input"))
    assert "No group fits the search." in text_of(page, "#found-table")


def test_the_first_view_is_reached_without_a_mouse(demo, opened):
    page = opened(demo / "explorer.html")
    page.evaluate("document.getElementById('theme').focus()")
    reached = set()
    for _ in range(40):
        page.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        page.call("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(page.evaluate("document.activeElement.dataset.to || document.activeElement.id"))
        if page.evaluate("Boolean(document.activeElement.closest('[data-found]'))"):
            break
    assert {"groups", "merge", "found-search", "found-module"} <= reached
    number = page.evaluate("document.activeElement.innerText")
    page.key("Enter", 13, "\r")
    assert page.evaluate("document.activeElement.id") == "panel-heading"
    assert text_of(page, "#panel-heading").startswith(f"Group {number} ")
    page.key("Escape", 27)
    assert page.evaluate("document.activeElement.innerText") == number
    assert "How to read this page" in text_of(page, "#panel")


HOSTILE = [
    "</script><script>window.hacked = 1</script>:0",
    "<img src=x onerror='window.hacked = 1'>:0",
    "\"quoted\" 'both' `ways` \\ and /slashes/..:1",
    "ünï/кодовый/模块\u202e:2",
    "m" * 4000 + ":3",
    "{{data}}{{title}}:4",
    "__proto__:5",
    "7",
    "&amp;<!--:8",
]


def test_labels_are_shown_as_they_are_and_never_run(page_of, opened):
    runs = [
        history(HOSTILE, [[0, 1], [0, 1], [1, 2], [1, 2]]),
        history(HOSTILE, [[0, 2], [0, 1], [1, 3], [1, 2]]),
    ]
    found = groups_by_hand(HOSTILE, [HOSTILE[:4], HOSTILE[4:6]], 2, shared=[(HOSTILE[4], 0), (HOSTILE[0], 1)])
    page = opened(page_of(*runs, found=found))
    for group in (0, 1):
        click(page, f"[data-found='{group}'] button")
        click(page, "#shared [data-component]")
        assert text_of(page, "#panel-heading") in HOSTILE
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    at_merge(page)
    page.evaluate(_choose("search", ":", "input"))
    shown = page.evaluate("[...document.querySelectorAll('#found button')].map(b => b.textContent)")
    assert sorted(shown) == sorted(label for label in HOSTILE if ":" in label)
    for label in HOSTILE:
        page.evaluate(_choose("search", label[:200], "input"))
        click(page, "#found button")
        assert page.evaluate("document.getElementById('panel-heading').textContent") == label
    assert page.evaluate(
        "window.hacked === undefined && document.images.length === 0 && document.scripts.length === 2"
    )
    click(page, "#mapping summary")
    go_to(page, 3, view=1)
    mapping = json.loads(page.evaluate("document.querySelector('#mapping textarea').value"))
    assert list(mapping["clusters"]) == HOSTILE
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_groups_without_evidence_are_not_shown_as_if_tested(page_of, opened):
    runs = [history(THREE, [[0, 1], [0, 1]])] * 2
    page = opened(page_of(*runs, found=groups_by_hand(THREE, [THREE[:2]], 2, tested=False)))
    said = text_of(page, "#answer")
    for words in (
        "it is not tested",
        "no activation batches",
        "1 of 3 components belongs to none",
        "no evidence",
    ):
        assert words in said
    assert "holds" not in said
    assert "bits saved" not in text_of(page, "#found-table")
    assert "by chance" not in text_of(page, "#found-table")
    click(page, "[data-found='0'] button")
    assert "Not tested" in text_of(page, "#panel")
    assert "bits" not in text_of(page, "#found-runs")
    assert "NaN" not in text_of(page, "body")


def test_tokens_of_a_found_group_are_those_with_enough_members_active(page_of, opened):
    dense = np.zeros((8, 3), dtype=np.float32)
    dense[:4, 0] = dense[2:6, 1] = 0.9  # both on samples 2 and 3 only
    examples = TokenExamples(
        np.array([[1, 1, 2, 2, 1, 1, 3, 3]]),
        np.array([[0, place] for place in range(8)]),
        {1: "one", 2: "<b>two</b>", 3: "three"},
    )
    batch = ActivationBatch(ProcessedActivations.from_dense(dense, THREE), examples=examples)
    found = groups_by_hand(THREE, [THREE[:2]], 1, active_members=2)
    page = opened(page_of(history(THREE, [[0, 1], [0, 1]]), found=found, batches=[batch]))
    click(page, "[data-found='0'] button")
    assert page.evaluate("[...document.querySelectorAll('.tokens li')].map(li => li.innerText)") == [
        "<b>two</b> 2/2 ×1.9"
    ]
    # found by a token that it fires on, and not by one that another group would fire on
    for query, rows in (("two", [0]), ("three", []), ("zwei", [])):
        page.evaluate(_choose("found-search", query, "input"))
        assert [row["group"] for row in page.evaluate(FOUND_ROWS)] == rows
        assert ("Groups that fire on" in text_of(page, "#found-hits")) == bool(rows)
    page.evaluate(_choose("found-search", "", "input"))
    assert "25 % of 8 tokens of run_0, with at least 2 members active" in text_of(page, "#panel")
    click(page, "#panel .members [data-component]")
    assert page.evaluate("document.querySelectorAll('.tokens li').length") == 2  # any sample of the component
    at_merge(page)
    go_to(page, 0)
    click(page, "[data-group] button")
    assert "75 % of 8 tokens" in text_of(page, "#panel")  # the same members in a cut: any of them


def test_a_token_of_white_space_can_be_read(page_of, opened):
    """A group whose only token is a space was shown without any name."""
    names = {
        " ": "␣",
        " a": "␣a",
        "a\n": "a⏎",
        "\u00a0": "U+00A0",
        "\u200b": "U+200B",
        "": "(empty)",
        "in it": "in it",
    }
    n = len(names)
    examples = TokenExamples(
        np.arange(n)[None], np.array([[0, place] for place in range(n)]), dict(enumerate(names))
    )
    batch = ActivationBatch(
        ProcessedActivations.from_dense(np.full((n, 3), 0.9, np.float32), THREE), examples=examples
    )
    found = groups_by_hand(THREE, [THREE[:2]], 1, active_members=2)
    page = opened(page_of(history(THREE, [[0, 1], [0, 1]]), found=found, batches=[batch]))
    click(page, "[data-found='0'] button")
    shown = page.evaluate("[...document.querySelectorAll('.tokens code')].map(code => code.innerText)")
    assert sorted(shown) == sorted(names.values())


def test_no_group_at_all_and_groups_that_were_not_computed_are_told_apart(page_of, opened, tmp_path):
    runs = [history(THREE, [[0, 1], [0, 1]])] * 2
    path = page_of(*runs, found=groups_by_hand(THREE, [], 2))
    page = opened(path)
    assert text_of(page, "#found-headline").startswith(
        "0 groups hold, 1 expected by chance; 3 of 3 components belong to none"
    )
    assert "No group was found" in text_of(page, "#found-table")
    (path.parent / "groups.json").unlink()
    assert main(["explorer", str(path.parent)]) == 0
    page = opened(path)
    assert page.evaluate("document.documentElement.dataset.tab") == "merge"
    click(page, "[data-to=groups]")
    assert "were not computed" in text_of(page, "#answer")
    assert "spdclust groups" in text_of(page, "#answer")


THREE = ["m:0", "m:1", "m:2"]


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([history(["m:0"], [])] * 2, ["No merges", "no group of two or more", "1 component alone"]),
        ([history(THREE, [])], ["One run only", "No merges", "3 components alone"]),
        ([history(THREE, [[0, 2]])] * 2, ["All 2 runs agree here", "1 group of two or more"]),
        ([history(THREE, [[0, 2], [0, 1]])] * 3, ["All 3 runs agree here", "1 group of two or more", "0 components alone"]),
        ([history(THREE, [[0, 1], [0, 1]])], ["One run only", "1 group of two or more", "nothing is contested"]),
        ([history(THREE, [[0, 1]]), history(["m:1", "m:2", "m:3"], [[0, 1]])], ["2 different groupings"]),
    ],
    ids=["one component", "no merges", "three components", "one group", "one run", "missing components"],
)  # fmt: skip
def test_ensembles_with_next_to_nothing_in_them_have_a_page_that_says_so(runs, said, page_of, opened):
    page = opened(page_of(*runs))
    page.settle()
    whole = text_of(page, "body")
    for words in said:
        assert words in whole
    for iteration in range(min(each.n_iterations for each in runs)):
        go_to(page, iteration)
        page.evaluate(
            "document.getElementById('singletons').checked || document.getElementById('singletons').click()"
        )
        for selector in ("[data-group] button", "#panel .members button"):
            click(page, selector)
