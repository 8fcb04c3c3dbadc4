"""What decides, one file a router; how each is registered stands here."""

from __future__ import annotations

from typing import Final

from cogumi_core import Component

COMPONENTS: Final = (
    Component(
        "router",
        "confidence",
        "keeps the base's answer while its calibrated probability of being right is at least the threshold",
        config="cogumi_router.routers.settings:ConfidenceSettings",
        factory="cogumi_router.routers.confidence:ConfidenceRouter",
        version="2",
    ),
)
