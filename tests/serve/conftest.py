"""Fixtures of the engine and server tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serve_support import MODEL, write_adapter

from cogumi_core import OpenOptions
from cogumi_core.api.locate import locate
from cogumi_serve.engines.llama_cpp.engine import LlamaCppEngine, LlamaCppSession
from cogumi_serve.engines.settings import LlamaCppSettings


@pytest.fixture(scope="session")
def base_path() -> Path:
    return locate(MODEL)


@pytest.fixture(scope="session")
def adapter_paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return {name: write_adapter(folder / f"{name}.gguf", seed) for seed, name in enumerate(("alpha", "beta"))}


@pytest.fixture(scope="session")
def engine() -> LlamaCppEngine:
    return LlamaCppEngine(LlamaCppSettings(), None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def session(engine: LlamaCppEngine, base_path: Path) -> Iterator[LlamaCppSession]:
    with engine.open(base_path, OpenOptions(context_tokens=1024)) as opened:
        yield opened
