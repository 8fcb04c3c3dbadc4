"""The README is true: its Python runs, its recipe is the quickstart's, its files exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cogumi_core.cli.main import BUILT_IN
from cogumi_core.pipeline.planning import plan
from cogumi_core.recipe.parse import load_recipe, parse_recipe

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("packages/*/README.md"))]


def test_the_python_of_the_readme_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COGUMI_STORE", str(tmp_path))
    for code in [text for language, text in BLOCKS if language == "python"]:
        exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "a ['b']" in printed or "b ['a']" in printed
    assert "distill" in printed


def test_the_recipe_of_the_readme_is_without_problems() -> None:
    text = next(text for language, text in BLOCKS if language == "yaml")
    assert parse_recipe(text, "README.md", ROOT / "examples").name == "quickstart"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_example_recipe_plans(path: Path, tmp_path: Path) -> None:
    if "cogumi-plugin-example" in path.parts:
        pytest.skip("needs its plugin installed; tests/packaging runs it")
    assert plan(load_recipe(path), store=tmp_path).stages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    dead = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert dead == []


def test_commands_in_the_documents_exist() -> None:
    known = {*BUILT_IN, "size", "ask", "chat", "serve", "space"}
    used = {
        name for page in PAGES for name in re.findall(r"^\s*cogumi ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert used - known == set()
