"""The layers that docs/architecture.md draws: each module has one, and imports only go down."""

import ast
import functools
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "src/spdclust"
LAYERS = {
    "foundations": "core config",
    "pure": "merge partitions groups stability",
    "data": "files user_files models sampling plotting explorer tracking",
    "orchestration": "execution stages pipeline example_ensemble commands __init__",
}
"""From the bottom up, by package."""

READ_FILES = {"config.load", "config.resolve", "config.generate"}
"""Modules of `config` that are not pure."""

NOT_IN_PURE = {"os", "pathlib", "shutil", "subprocess", "tempfile", "zipfile", "torch", "matplotlib", "wandb"}


@functools.cache
def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def layer_of(module: str) -> int | None:
    package = module.split(".")[0]
    return next((number for number, names in enumerate(LAYERS.values()) if package in names.split()), None)


def is_pure(module: str) -> bool:
    package = module.split(".")[0]
    return package in ("config", *LAYERS["pure"].split()) and module not in READ_FILES


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
    found = {name if name in known else f"{name}.__init__" for name in names}
    return found | ({"__init__"} if "spdclust" in imported(path) else set())


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


def without_circle(graph: dict[str, set[str]]) -> list[str]:
    """What is left when nothing more can be taken away that imports nothing of what is left."""
    left = dict(graph)
    while free := [each for each, others in left.items() if not others & left.keys()]:
        for each in free:
            del left[each]
    return sorted(left)


def test_no_module_imports_itself_through_others() -> None:
    assert without_circle({module: imported_modules(path) for module, path in modules().items()}) == []


def test_no_package_imports_itself_through_others() -> None:
    graph: dict[str, set[str]] = {}
    for module, path in modules().items():
        package = module.split(".")[0]
        others = {other.split(".")[0] for other in imported_modules(path)} - {package}
        graph.setdefault(package, set()).update(others)
    assert without_circle(graph) == []


def test_the_top_of_the_package_holds_only_what_users_import() -> None:
    assert {module for module in modules() if "." not in module} == {
        "__init__",
        "pipeline",
        "example_ensemble",
    }


def test_the_pure_layer_touches_nothing_outside() -> None:
    outside = {
        module: found
        for module, path in modules().items()
        if is_pure(module) and (found := {name.split(".")[0] for name in imported(path)} & NOT_IN_PURE)
    }
    assert outside == {}


def test_modules_stay_small() -> None:
    lengths = {module: len(path.read_text().splitlines()) for module, path in modules().items()}
    assert {module: length for module, length in lengths.items() if length > 400} == {}


def test_the_page_on_the_architecture_names_every_package() -> None:
    page = (PACKAGE.parents[1] / "docs/architecture.md").read_text()
    named = set(re.findall(r"`([a-z_]+)/?`", page))
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages - named == set()


def test_folders_of_tests_have_the_names_of_packages() -> None:
    others = {"benchmarks", "browser", "data", "faults", "helpers", "repository", "slurm", "workflow"}
    folders = {path.name for path in PACKAGE.parents[1].joinpath("tests").iterdir() if path.is_dir()}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders - packages - others - {"__pycache__"} == set()
    assert [path.name for path in PACKAGE.parents[1].joinpath("tests").glob("*.py")] == ["conftest.py"]
