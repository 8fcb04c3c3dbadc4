"""A database of calls for each test, and the engine on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from calls_support import opened

from cogumi_core.calls import PaidCalls


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


@pytest.fixture
def paid(path: Path) -> Iterator[PaidCalls]:
    with opened(path) as calls:
        yield calls
