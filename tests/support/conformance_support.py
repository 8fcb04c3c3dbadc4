"""What tests of the conformance suites share: a component on a host of its own, and running one check by hand."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import pytest

from cogumi_core import Settings
from cogumi_core.plugins.registry import Registry
from cogumi_core.testing import IsolatedPlugins

NoSettings = type("NoSettings", (Settings,), {"__doc__": "No settings."})


class Isolated:
    """A suite's component is the one under test, on a host of its own. `more` are fields of its `Component`."""

    component = "mine"
    factory: ClassVar[Any]
    config: ClassVar[type[Settings]] = NoSettings
    more: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def registry(self, isolated_plugins: IsolatedPlugins) -> Registry:
        return offered(self, isolated_plugins)

    @pytest.fixture(scope="class")
    @classmethod
    def class_registry(cls) -> Registry:
        return offered(cls(), IsolatedPlugins())


def offered(suite: Any, plugins: IsolatedPlugins) -> Registry:
    """A registry of nothing but the component of `suite`."""
    plugins.offer(suite.kind, "mine", type(suite).factory, suite.config, **suite.more)
    return plugins.registry()


def checks(suite: Any, name: str, **given: Any) -> None:
    """Runs one check of a suite, with those of the fixtures in `given` that it wants."""
    check = getattr(suite(), name)
    check(**{wanted: given[wanted] for wanted in inspect.signature(check).parameters})
