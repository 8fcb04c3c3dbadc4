"""docs/recipes.md is true: its recipes can be read, and it names every section and key."""

import re
from pathlib import Path

import pytest

from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.form import BudgetSettings, MeasureSettings
from cogumi_core.recipe.parse import SECTIONS, Header, parse_recipe

TEXT = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("text", RECIPES, ids=lambda text: text.splitlines()[0])
def test_recipe_in_the_page_can_be_read(text: str) -> None:
    assert parse_recipe(text, registry=Registry.installed())


@pytest.mark.parametrize("key", [*SECTIONS, *Header.model_fields, *BudgetSettings.model_fields, *MeasureSettings.model_fields])
def test_every_key_is_in_the_page(key: str) -> None:
    assert f"`{key}" in TEXT
