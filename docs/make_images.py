"""Make the pictures of the documentation that show results: `make docs-images`.

Figures are drawn small from the results of the demonstration and of its sweep; pages are opened in headless
Chromium, as in the browser tests. A picture whose results are missing is left as it is, such as that of the
language model before `make demo-lm`. `images/made_by.json` records from what each picture was made: the
code in `plotting` or `explorer` that draws it, this file, and the settings of its results. A test compares
that with the program. Code that computes or reads results does not count.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import yaml
from PIL import Image

from spdclust.commands.cli import main as spdclust
from spdclust.core.code_fingerprint import PACKAGE, code_fingerprint, file_code
from spdclust.explorer.page import assets_digest
from spdclust.plotting.registry import FIGURE_RULES, INPUTS
from spdclust.stages.results import draw_figures

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SOURCE = ROOT / "src" / PACKAGE
IMAGES = HERE / "images"
RECORD = IMAGES / "made_by.json"
DPI = 85
SHOWN = [
    "activations_histograms",
    "activations_log_coactivation",
    "activations_sorted",
    "cluster_sizes",
    "coclustering",
    "consensus",
    "groups",
    "groups_tree",
    "mdl",
    "merge_candidates",
    "merge_state",
    "merge_tree",
    "runs",
    "distances",
]
"""Keys of the figures of the demonstration that docs/figures.md shows, as `figure_<key>.png`."""

LARGER = {"stability": "demo_stability", "sweep": "sweep", "sweep_distances": "sweep_distances"}
LARGER |= {"sweep_bits": "sweep_bits"}
"""Figures in the size in which the workflow draws them, and the names of their pictures."""

PAGES = (
    ("resid_mlp1/demo", None, "explorer_groups", False),
    ("resid_mlp1/demo", 2, "explorer_group", False),
    ("lm_llama2L/demo_lm", 2, "explorer_component", True),
)
"""Ensemble, group that is opened, name of the picture, whether it is dark."""

LARGE_PAGE = "explorer_large"
"""The page of the generated ensemble of 13,000 components of the browser tests."""

BY_BENCHMARKS = {name: f"{name}.py" for name in ("recovery", "ground_truth")}
BY_BENCHMARKS |= {"settings": "settings_curves.py"}
"""Pictures that belong to measurements, and the file in benchmarks/ that makes both."""


def made_by() -> dict[str, dict[str, str]]:
    """Return what each picture shows: digests of the code that draws it and of its results' settings."""
    entries = {figure.key: figure for rule in FIGURE_RULES.values() for figure in rule.figures}
    names = {key: f"figure_{key}" for key in SHOWN} | LARGER
    found = {}
    for key, name in names.items():
        code = _drawing_code("plotting", entries[key].draw)
        found[name] = {"code": code, "settings": _settings("sweep" if name.startswith("sweep") else "demo")}
    modules = sorted(path.stem for path in (SOURCE / "explorer").glob("[!_]*.py"))
    page = _drawing_code("explorer", *(f"{PACKAGE}.explorer.{name}" for name in modules))
    page = hashlib.sha256(f"{page};{assets_digest()}".encode()).hexdigest()[:16]
    for ensemble, _, name, _ in PAGES:
        found[name] = {"code": page, "settings": _settings(Path(ensemble).name)}
    generator = (ROOT / "tests/browser/ensembles.py").read_bytes()
    found[LARGE_PAGE] = {"code": page, "settings": hashlib.sha256(generator).hexdigest()[:16]}
    return dict(sorted(found.items()))


def _drawing_code(package: str, *entries: str) -> str:
    """Return a digest of parts of one package, without what they use of others, and of this file."""
    others = (path.stem for path in SOURCE.iterdir() if path.stem != package)
    ignored = (f"{PACKAGE}.plotting.registry", *(f"{PACKAGE}.{name}" for name in others))
    code = f"{code_fingerprint(*entries, ignore=ignored)};{file_code(__file__)}"
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def _settings(pipeline: str) -> str:
    """Return a digest of a pipeline file and its run file, without comments and what changes no result."""
    file = ROOT / "config/pipelines" / f"{pipeline}.yaml"
    settings = yaml.safe_load(file.read_text())
    run = yaml.safe_load((file.parent / settings["clustering_run_config_path"]).read_text())
    run.pop("runs_per_batches_job", None)
    return hashlib.sha256(json.dumps([settings, run]).encode()).hexdigest()[:16]


def draw(results: Path) -> list[str]:
    """Draw the figures of the demonstration, and of the sweep if it has run; return the pictures' names."""
    values = {"run_config": "resid_mlp1", "ensemble": "demo", "run": "0", "moment": "least_mdl"}
    values["method"] = "perm_invariant_hamming"
    batches = sorted((results / "resid_mlp1/precomputed_batches/run_0").glob("*.pt"))
    found = {"batches": batches, "kept_batch": batches[:1]}
    found["histories"] = sorted((results / "resid_mlp1/demo/runs").glob("*/history.zip"))
    for rule in FIGURE_RULES.values():
        keys = {figure.key for figure in rule.figures} & set(SHOWN)
        if rule.of == "sweep" or not keys:
            continue
        inputs = {
            name: results / source.format(**values) if (source := INPUTS[name].file) else found[name]
            for name in rule.inputs
        }
        arguments = {name: value.format(**values) for name, value in rule.arguments.items()}
        arguments |= dict.fromkeys(rule.settings, 0.1)  # of config/runs/resid_mlp1.yaml
        paths = {key: [IMAGES / f"figure_{key}.png"] for key in sorted(keys)}
        draw_figures(rule.name, inputs, paths, arguments=arguments, dpi=DPI)
    made = [f"figure_{key}" for key in SHOWN]
    for rule in (FIGURE_RULES["plot_stability"], FIGURE_RULES["plot_sweep"]):
        inputs = {name: results / INPUTS[name].file.format(**values, sweep="sweep") for name in rule.inputs}
        keys = [figure.key for figure in rule.figures if figure.key in LARGER]
        if not all(path.is_file() for path in inputs.values()):
            missing = next(path for path in inputs.values() if not path.is_file())
            print(f"{', '.join(LARGER[key] for key in keys)}: no {missing}, left as they are")
            continue
        draw_figures(rule.name, inputs, {key: [IMAGES / f"{LARGER[key]}.png"] for key in keys})
        made += [LARGER[key] for key in keys]
    return made


def photograph(results: Path) -> list[str]:
    """Photograph the pages of both demonstrations and of 13,000 components; return the pictures' names."""
    sys.path[:0] = [str(ROOT / "tests/helpers"), str(ROOT / "tests")]
    from browser.chromium import Chromium, find_chromium
    from browser.ensembles import generate

    executable = find_chromium()
    if executable is None:
        sys.exit("no Chromium here: make browser")
    browser, made = Chromium(executable), []
    for ensemble, group, name, dark in PAGES:
        if not (results / ensemble).is_dir():
            print(f"{name}: no {results / ensemble} (make demo-lm), left as it is")
            continue
        if spdclust(["explorer", str(results / ensemble)]):
            sys.exit(1)
        page = browser.open(results / ensemble / "explorer.html", width=1360, height=980, dark=dark)
        if group is not None:
            page.evaluate(f"document.querySelector('[data-found=\"{group}\"] button').click()")
            page.settle()
        if name == "explorer_component":
            page.evaluate("document.querySelector('#panel .members [data-component]').click()")
            page.settle()
        page.screenshot(IMAGES / f"{name}.png")
        page.close()
        made.append(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = generate(Path(temporary) / "generated")
        commands = (["distances", "--method", "perm_invariant_hamming"], ["stability"], ["explorer"])
        if any(spdclust([command, str(folder), *options]) for command, *options in commands):
            sys.exit(1)
        page = browser.open(folder / "explorer.html", width=1360, height=980)
        page.evaluate("document.querySelector('[data-to=merge]').click()")
        page.settle()
        page.screenshot(IMAGES / f"{LARGE_PAGE}.png")
        page.close()
    browser.close()
    return [*made, LARGE_PAGE]


def shrink(names: list[str]) -> None:
    """Store the pictures with as many colours as a reader can tell apart."""
    for path in (IMAGES / f"{name}.png" for name in names):
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        small.save(path, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    chosen = parser.parse_args().results
    pictures = [*draw(chosen), *photograph(chosen)]
    shrink(pictures)
    record = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    record |= {name: entry for name, entry in made_by().items() if name in pictures}
    RECORD.write_text(json.dumps(dict(sorted(record.items())), indent=1) + "\n")
