"""docs/recipes.md is true: its recipes can be read, and it names every section with its kinds, and every key."""

import re
from pathlib import Path

import pytest

from cogumi_core.api.sections import Section
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.form import BudgetSettings, Header, MeasureSettings
from cogumi_core.recipe.parse import parse_recipe
from cogumi_core.recipe.sections import OWN

TEXT = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("text", RECIPES, ids=lambda text: text.splitlines()[0])
def test_recipe_in_the_page_can_be_read(text: str) -> None:
    assert parse_recipe(text, registry=Registry.installed())


@pytest.mark.parametrize("key", [*Header.model_fields, *BudgetSettings.model_fields, *MeasureSettings.model_fields])
def test_every_key_is_in_the_page(key: str) -> None:
    assert f"`{key}`" in TEXT


@pytest.mark.parametrize("section", OWN, ids=lambda section: section.name)
def test_every_section_is_in_the_table_with_its_kinds_and_how_many(section: Section) -> None:
    kinds, how_many = " or ".join(section.kinds), "list" if section.many else "one"
    assert f"| `{section.name}` | {kinds} | {how_many} |" in TEXT


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(next(text for text in RECIPES if "benchmark" in text))
    for code in PYTHON:
        exec(code, {})
