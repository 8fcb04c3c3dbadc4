"""What the tests of this folder share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cogumi_core import Registry, RunContext, Services
from cogumi_core.testing.context import a_run


@pytest.fixture(scope="session")
def registry() -> Registry:
    """Everything that is installed here."""
    return Registry.installed({})


@pytest.fixture
def bare_services(registry: Registry, tmp_path: Path) -> Services:
    """Services outside a recipe, with paths starting at `tmp_path`."""
    return registry.with_services(base_dir=tmp_path).services


@pytest.fixture
def work(bare_services: Services, registry: Registry, tmp_path: Path) -> RunContext:
    """The context of one piece of work, with paths starting at `tmp_path`."""
    return replace(a_run(tmp_path / "run", registry=registry), services=bare_services)
