"""Make the pictures of the documentation that show results: `make docs-images`, after both demonstrations.

Figures are drawn small from the results; pages are opened in headless Chromium, as in the browser tests.
The page of 13,000 components and the pictures of sweeps and benchmarks are left as they are.
"""

import argparse
import sys
from pathlib import Path

from PIL import Image

from spdclust.commands.cli import main as spdclust
from spdclust.plotting.registry import FIGURE_RULES, INPUTS
from spdclust.stages.figures import draw_figures

HERE = Path(__file__).resolve().parent
IMAGES = HERE / "images"
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


PAGES = (
    ("resid_mlp1/demo", None, "explorer_groups", False),
    ("resid_mlp1/demo", 2, "explorer_group", False),
    ("lm_llama2L/demo_lm", 2, "explorer_component", True),
)
"""Ensemble, group that is opened, name of the picture, whether it is dark."""


def draw(results: Path) -> None:
    """Draw the figures of the demonstration."""
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
    stability = {
        name: results / INPUTS[name].file.format(**values) for name in FIGURE_RULES["plot_stability"].inputs
    }
    draw_figures("plot_stability", stability, {"stability": [IMAGES / "demo_stability.png"]})


def photograph(results: Path) -> None:
    """Photograph the pages of both demonstrations."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from browser.chromium import Chromium, find_chromium

    executable = find_chromium()
    if executable is None:
        sys.exit("no Chromium here: make browser")
    browser = Chromium(executable)
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
    browser.close()


def shrink() -> None:
    """Store the pictures with as many colours as a reader can tell apart."""
    for path in sorted(IMAGES.glob("figure_*.png")) + [IMAGES / f"{name}.png" for _, _, name, _ in PAGES]:
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        small.save(path, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    chosen = parser.parse_args().results
    draw(chosen)
    photograph(chosen)
    shrink()
