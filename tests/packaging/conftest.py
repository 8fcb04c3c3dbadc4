"""The six wheels, built once."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging_support import REPOSITORY, build_wheels


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_wheels(sorted((REPOSITORY / "packages").iterdir()), tmp_path_factory.mktemp("wheels"))
