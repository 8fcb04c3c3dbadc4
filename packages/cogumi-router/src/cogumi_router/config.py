"""Settings of the routers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cogumi_core.api.settings import Settings

Calibration = Literal["sigmoid", "isotonic"]
SignalName = Literal["mean", "min", "quantile"]


class ConfidenceSettings(Settings):
    """Settings of `confidence`."""

    threshold: float = Field(
        0.8,
        ge=0.0,
        le=1.0,
        description="Keep the base's answer when the calibrated probability that it is right is at least this; "
        "0 always keeps it, above the highest confidence reached always escalates.",
    )
    calibration: Calibration = Field(
        "sigmoid",
        description="How a log-probability becomes a probability of being right: sigmoid (Platt scaling, two parameters) or "
        "isotonic (any rising curve; overfits below about 1,000 graded rows).",
    )
    signal: SignalName = Field(
        "mean",
        description="What is read off the token log-probabilities of an answer: their mean, the lowest, or a low quantile.",
    )
    quantile: float = Field(
        0.1,
        gt=0.0,
        lt=1.0,
        description="Which quantile `signal: quantile` takes; 0.1 looks at the least certain tenth of tokens.",
    )
