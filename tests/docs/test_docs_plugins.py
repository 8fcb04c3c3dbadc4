"""docs/plugins.md is true to the code: its Python runs, and it leaves out no hook, kind, field or suite."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import fields
from types import ModuleType
from typing import Any

import pytest
from docs_support import DOCS, blocks

from cogumi_core import KINDS, Component, ModelFacts, RunContext, Section, testing
from cogumi_core.api import hookspecs, interfaces
from cogumi_core.plugins.host import PluginHost
from cogumi_core.plugins.registry import Registry
from cogumi_core.testing import FilterSuite, SectionSuite

PAGE = DOCS / "plugins.md"
TEXT = PAGE.read_text(encoding="utf-8")


def module_of_the_page() -> ModuleType:
    """All Python of the page, as the module `my_plugin` that it speaks of."""
    module = ModuleType("my_plugin")
    sys.modules["my_plugin"] = module
    for block in blocks(PAGE):
        if block.language == "python":
            exec(compile(block.text, str(PAGE), "exec"), vars(module))
    return module


@pytest.fixture(scope="module")
def my_plugin() -> Iterator[ModuleType]:
    try:
        yield module_of_the_page()
    finally:
        sys.modules.pop("my_plugin", None)


@pytest.fixture
def page_registry(my_plugin: ModuleType) -> Registry:
    host = PluginHost()
    host.register(my_plugin, "my-plugin", "my-plugin", "1.0")
    assert [plugin.error for plugin in host.plugins] == [""]
    return Registry(host)


class TestFilterOfThePage(FilterSuite):
    component = "short"

    @pytest.fixture
    def registry(self, page_registry: Registry) -> Registry:
        return page_registry


class TestSectionOfThePage(SectionSuite):
    section = "count"
    steps = "{use: words}"

    @pytest.fixture
    def registry(self, page_registry: Registry) -> Registry:
        return page_registry


def named(of: Any) -> list[str]:
    return [field.name for field in fields(of)]


@pytest.mark.parametrize("field", [*named(Component), *named(RunContext), *named(Section), *named(ModelFacts)])
def test_every_field_is_told(field: str) -> None:
    assert f"`{field}`" in TEXT


@pytest.mark.parametrize("hook", [name for name in vars(hookspecs) if name.startswith("cogumi_")])
def test_every_hook_is_told(hook: str) -> None:
    short = hook.replace("cogumi_register", "")
    assert f"`{hook}`" in TEXT or f"`{hook}(cli)`" in TEXT or f"`{short}`" in TEXT


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_of_every_kind_is_told_as_it_is_called(kind: str) -> None:
    table = TEXT.partition("## What to write for each kind")[2]
    (row,) = [line for line in table.splitlines() if line.startswith(f"| `{kind}` |")]
    protocol = getattr(interfaces, kind.capitalize())
    methods = {name: value for name, value in vars(protocol).items() if callable(value) and not name.startswith("_")}
    calls = [f"{name}({', '.join(list(inspect.signature(method).parameters)[1:])})" for name, method in methods.items()]
    values = [name for name in getattr(protocol, "__annotations__", {}) if not name.startswith("_")]
    assert [text for text in (*calls, *values) if text not in row] == []


@pytest.mark.parametrize("name", testing.__all__)
def test_everything_to_test_with_is_told(name: str) -> None:
    assert f"`{name}" in TEXT or name in ("IsolatedPlugins", "a_run")
