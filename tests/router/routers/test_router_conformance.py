"""The project's own router passes the suite that plugin authors get."""

from __future__ import annotations

from typing import ClassVar

from cogumi_core.testing import RouterSuite


class TestConfidence(RouterSuite):
    component = "confidence"


class TestIsotonicQuantile(RouterSuite):
    component = "confidence"
    settings: ClassVar[dict[str, object]] = {"calibration": "isotonic", "signal": "quantile", "threshold": 0.5}
