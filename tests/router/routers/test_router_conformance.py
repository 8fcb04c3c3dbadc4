"""The project's own router passes the suite that plugin authors get."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from cogumi_core import RouteExample
from cogumi_core.measure.answers import answer_features
from cogumi_core.testing import RouterSuite, sample_routes


class TestConfidence(RouterSuite):
    component = "confidence"


class TestIsotonicQuantile(RouterSuite):
    component = "confidence"
    settings: ClassVar[dict[str, object]] = {"calibration": "isotonic", "signal": "quantile", "threshold": 0.5}


class TestWatching(RouterSuite):
    component = "confidence"
    settings: ClassVar[dict[str, object]] = {"signal": "min"}


class TestFeature(RouterSuite):
    component = "confidence"
    settings: ClassVar[dict[str, object]] = {"signal": "feature", "feature": "mean_logprob"}

    @pytest.fixture
    def routes(self) -> list[RouteExample]:
        return [replace(route, features=answer_features(route.logprobs)) for route in sample_routes(200)]
