"""Every module stands in a room that docs/architecture.md names, every room has a door plate, and tests mirror the tree."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {path.name: path for path in sorted((ROOT / "packages").glob("*/src/*")) if path.is_dir()}
IN_THE_HALL = {"__init__.py", "plugin.py", "testing.py", "fields.py", "py.typed"}
"""What stands before the rooms: the public names, the registration, what others test with, fields that rooms share."""
KIND_ROOMS = {
    "cogumi_teachers": ("sources", "teachers", "filters", "dedup"),
    "cogumi_compress": ("gguf", "zstd"),
    "cogumi_modifiers": ("trainers", "benchmarks", "domains"),
    "cogumi_router": ("routers",),
    "cogumi_serve": ("engines", "api", "commands"),
    "cogumi_core": ("cli/commands", "report"),
}
"""Where others add something."""


def rooms_of(package: Path) -> set[str]:
    return {path.name for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}


def rooms_told() -> dict[str, set[str]]:
    """Package to the rooms that docs/architecture.md has a row for."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = re.split(r"^### (cogumi_\w+)$", text, flags=re.M)[1:]
    return {
        name: set(re.findall(r"^\| `(\w+)/` \|", body.split("\n## ")[0], flags=re.M))
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_every_module_stands_in_a_room(name: str) -> None:
    flat = {path.name for path in PACKAGES[name].iterdir() if path.is_file()}
    assert flat <= IN_THE_HALL


@pytest.mark.parametrize("name", PACKAGES)
def test_every_room_is_named_in_the_architecture_and_no_other(name: str) -> None:
    assert rooms_told()[name] == rooms_of(PACKAGES[name])


@pytest.mark.parametrize("name", PACKAGES)
def test_every_folder_of_modules_has_a_door_plate(name: str) -> None:
    for folder in sorted({path.parent for path in PACKAGES[name].rglob("*.py")}):
        plate = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert plate, folder


@pytest.mark.parametrize(("package", "room"), [(name, room) for name, rooms in KIND_ROOMS.items() for room in rooms])
def test_a_room_where_others_add_says_how_and_names_at_most_three_files(package: str, room: str) -> None:
    readme = PACKAGES[package] / room / "README.md"
    text = readme.read_text(encoding="utf-8")
    steps = re.findall(r"^\d\. ", text, flags=re.M)
    assert 1 <= len(steps) <= 3, readme
    assert len(text.splitlines()) <= 25, readme


def test_tests_mirror_the_tree() -> None:
    for name, package in PACKAGES.items():
        tests = ROOT / "tests" / name.removeprefix("cogumi_")
        folders = {path.name for path in tests.iterdir() if path.is_dir() and path.name != "__pycache__"}
        assert folders <= rooms_of(package), tests


def modules() -> dict[str, Path]:
    """Every module of the packages, by name."""
    found = {}
    for package in PACKAGES.values():
        for path in package.rglob("*.py"):
            name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules that one imports anywhere in it: also inside functions, also for type checkers alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {full if (full := f"{node.module}.{name.name}") in known else node.module for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found & known.keys()


def test_no_module_imports_itself_by_a_detour() -> None:
    known = modules()
    graph = {name: imports(path, known) - {name} for name, path in known.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle
