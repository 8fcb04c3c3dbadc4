"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogumi_core.api.interfaces import Services
from cogumi_core.plugins.registry import Registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    """Everything that is installed here."""
    return Registry.installed({})


@pytest.fixture
def bare_services(registry: Registry, tmp_path: Path) -> Services:
    """Services outside a recipe, with paths starting at `tmp_path`."""
    return registry.with_services(base_dir=tmp_path).services
