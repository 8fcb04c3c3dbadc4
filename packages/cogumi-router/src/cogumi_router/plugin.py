"""What this package offers."""

from __future__ import annotations

from collections.abc import Iterable

from cogumi_core.api.component import Component
from cogumi_core.api.hookspecs import hookimpl


@hookimpl
def cogumi_register_routers() -> Iterable[Component]:
    """The calibrated log-probability router."""
    yield Component(
        "router",
        "confidence",
        "keeps the base's answer while its calibrated probability of being right is at least the threshold",
        config="cogumi_router.config:ConfidenceSettings",
        factory="cogumi_router.routers.confidence:ConfidenceRouter",
    )
