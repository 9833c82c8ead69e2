"""The layers that docs/architecture.md draws: each module has one, and imports only go down."""

import ast
import functools
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src/spdclust"
LAYERS = {
    "foundations": "errors brief arguments argument_kinds types cache_folders source_digests name_patterns compiling merge.threads",
    "pure": "config merge partitions normalized ensemble stability groups sweeps summary thinning group_tokens history_provenance",
    "data": "config.load config.locate config.sweep_points config.resolve config.generate sampling_record provenance files models datasets batch_sampling "
    "precompute estimate plotting explorer tracking",
    "orchestration": "jobs locks slurm_queue snakemake_hooks workflow_files running_jobs stages pipeline example_ensemble reproduction commands cli reference_cli __init__",
}
"""From the bottom up; the longest name that fits a module says where it belongs."""

NOT_IN_PURE = {"os", "pathlib", "shutil", "subprocess", "tempfile", "zipfile", "torch", "matplotlib", "wandb"}


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def layer_of(module: str) -> int | None:
    fitting = [
        (len(name), number)
        for number, names in enumerate(LAYERS.values())
        for name in names.split()
        if module == name or module.startswith(f"{name}.")
    ]
    return max(fitting)[1] if fitting else None


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """What a file imports, wherever in it; for this package the modules' names without `spdclust.`."""
    found = set()
    known = modules()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in inside if name.removeprefix("spdclust.") in known} or {node.module}
    return frozenset(found)


def imported_modules(path: Path) -> set[str]:
    known = modules()
    names = {name.removeprefix("spdclust.") for name in imported(path) if name.startswith("spdclust.")}
    return {name if name in known else f"{name}.__init__" for name in names}


def test_every_module_has_a_layer() -> None:
    assert [module for module in modules() if layer_of(module) is None] == []


def test_imports_go_down() -> None:
    upward = [
        f"{module} imports {other}"
        for module, path in modules().items()
        for other in imported_modules(path)
        if layer_of(other) > layer_of(module)
    ]
    assert upward == []


def test_no_module_imports_itself_through_others() -> None:
    graph = {module: imported_modules(path) for module, path in modules().items()}
    while True:  # what imports nothing that is left cannot be part of a circle
        free = [module for module, others in graph.items() if not others & graph.keys()]
        if not free:
            break
        for module in free:
            del graph[module]
    assert sorted(graph) == []


def test_the_pure_layer_touches_nothing_outside() -> None:
    outside = {
        module: found
        for module, path in modules().items()
        if layer_of(module) == 1 and (found := {name.split(".")[0] for name in imported(path)} & NOT_IN_PURE)
    }
    assert outside == {}


def test_modules_stay_small() -> None:
    lengths = {module: len(path.read_text().splitlines()) for module, path in modules().items()}
    assert {module: length for module, length in lengths.items() if length > 350} == {}


def test_the_page_on_the_architecture_names_every_package() -> None:
    page = (PACKAGE.parents[1] / "docs/architecture.md").read_text()
    named = set(re.findall(r"`([a-z_]+)/?`", page))
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages - named == set()
