"""The sections of the report, in the order in which they stand on the page."""

from __future__ import annotations

from typing import Any, Final

from cogumi_core.report import (
    budget,
    compression,
    data,
    modifiers,
    overview,
    packages,
    parts,
    router,
    stages,
    training,
)
from cogumi_core.report.section import PageSection

SECTIONS: Final[tuple[PageSection[Any], ...]] = (
    overview.SECTION,
    data.SECTION,
    training.SECTION,
    compression.SECTION,
    modifiers.SECTION,
    router.SECTION,
    parts.SECTION,
    budget.SECTION,
    stages.SECTION,
    packages.SECTION,
)
