"""The example plugin: built, installed from its wheel in a fresh environment, listed, tested, and used by a recipe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from packaging_support import REPOSITORY, Environment, build_wheels, make_environment

from cogumi_compress.gguf.export import export_gguf
from cogumi_modifiers.testing import tiny_llama

pytestmark = pytest.mark.packaging
EXAMPLE = REPOSITORY / "examples" / "cogumi-plugin-example"
SCREEN = 50
OFFERED = {
    ("teacher", "calendar", "ok"),
    ("filter", "agrees", "ok"),
    ("benchmark", "iso-dates", "ok"),
    ("modifier", "iso-dates", "ok"),
    ("picker", "spread", "ok"),
}


@pytest.fixture(scope="module")
def environment(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    own = build_wheels([EXAMPLE], tmp_path_factory.mktemp("example"))
    root = tmp_path_factory.mktemp("env") / "venv"
    # The plugin's own requirements (core and modifiers, with what its tests need) and the engine that measures its adapter.
    made = make_environment(root, wheels, "cogumi-core[testing]", "cogumi-modifiers[train]", "cogumi-serve[llama]")
    made.install(own.values())
    return made


@pytest.mark.parametrize("path", sorted((EXAMPLE / "cogumi_example").glob("*.py")), ids=lambda path: path.name)
def test_each_file_fits_on_a_screen(path: Path) -> None:
    assert len(path.read_text().splitlines()) < SCREEN


def test_its_components_are_listed_with_their_distribution(environment: Environment, tmp_path: Path) -> None:
    done = environment.run("cogumi", "plugins", "--json", cwd=tmp_path)
    rows = json.loads(done.stdout)["components"]
    own = {(row["kind"], row["name"], row["state"]) for row in rows if row["distribution"] == "cogumi-plugin-example"}
    assert own == OFFERED


def test_its_own_tests_pass(environment: Environment, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    done = environment.run("python", "-m", "pytest", "-q", "tests", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_a_recipe_that_uses_it_runs_to_a_system(environment: Environment, tmp_path: Path) -> None:
    """Its own recipe, on a student so small that it trains in seconds."""
    export_gguf(tiny_llama(tmp_path / "tiny"), tmp_path / "tiny.gguf", "F16")
    shutil.copy(EXAMPLE / "rows.jsonl", tmp_path)
    lines = (EXAMPLE / "recipe.yaml").read_text().splitlines()
    text = "\n".join("student: tiny.gguf" if line.startswith("student:") else line for line in lines)
    (tmp_path / "recipe.yaml").write_text(text)
    done = environment.run("cogumi", "run", "recipe.yaml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "held-out tasks" in done.stderr
    assert "5 of 10 rows to look at" in done.stderr
    verified = environment.run("cogumi", "verify", "out/system", cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout
    assert "Rows to look at" in (tmp_path / "out" / "system" / "report.json").read_text()
