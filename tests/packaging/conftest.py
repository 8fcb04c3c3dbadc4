"""The six wheels, built once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from packaging_support import REPOSITORY, build_wheels

    return build_wheels(sorted((REPOSITORY / "packages").iterdir()), tmp_path_factory.mktemp("wheels"))
