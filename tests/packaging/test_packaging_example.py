"""The example plugin: built, installed from its wheel in a fresh environment, listed, and used by a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packaging_support import REPOSITORY, Environment, build_wheels, make_environment

from cogumi_compress.gguf.export import export_gguf
from cogumi_modifiers.testing import tiny_llama

pytestmark = pytest.mark.packaging
EXAMPLE = REPOSITORY / "examples" / "cogumi-plugin-example"
RECIPE = """version: 1
name: dates
seed: 7
student: tiny.gguf
modifiers:
  - {use: iso-dates, with: {lora_r: 8, baselines: [plain]}}
"""


@pytest.fixture(scope="module")
def environment(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    own = build_wheels([EXAMPLE], tmp_path_factory.mktemp("example"))
    root = tmp_path_factory.mktemp("env") / "venv"
    # The plugin's own requirements (core and modifiers) and the engine that validates its adapter.
    made = make_environment(root, wheels, "cogumi-modifiers[train]", "cogumi-serve[llama]")
    made.install(own.values())
    return made


def test_the_module_is_at_most_eighty_lines() -> None:
    assert len((EXAMPLE / "cogumi_example.py").read_text().splitlines()) <= 80


def test_its_components_are_listed_with_their_distribution(environment: Environment, tmp_path: Path) -> None:
    done = environment.run("cogumi", "plugins", "--json", cwd=tmp_path)
    rows = json.loads(done.stdout)["components"]
    own = {(row["kind"], row["name"], row["state"]) for row in rows if row["distribution"] == "cogumi-plugin-example"}
    assert own == {("teacher", "calendar", "ok"), ("modifier", "iso-dates", "ok")}


def test_its_teacher_answers_and_refuses(environment: Environment, tmp_path: Path) -> None:
    code = (
        "import asyncio\n"
        "from cogumi_core import Registry\n"
        "from cogumi_core.api.errors import TeacherRefusal\n"
        "from cogumi_core.api.types import CompletionRequest, Message\n"
        "teacher = Registry.installed().create('teacher', 'calendar')\n"
        "def ask(text): return asyncio.run(teacher.complete(CompletionRequest((Message('user', text),))))\n"
        "print(ask('Write in ISO form: March 05, 2024').text)\n"
        "try: ask('Who are you?')\n"
        "except TeacherRefusal: print('refused')\n"
    )
    assert environment.python(code, tmp_path).split() == ["2024-03-05", "refused"]


def test_a_recipe_that_uses_it_runs_to_a_system(environment: Environment, tmp_path: Path) -> None:
    export_gguf(tiny_llama(tmp_path / "tiny"), tmp_path / "tiny.gguf", "F16")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    done = environment.run("cogumi", "run", "recipe.yaml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "held-out tasks" in done.stderr
    verified = environment.run("cogumi", "verify", "out/system", cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout
