"""Settings of the routers."""

from __future__ import annotations

from pydantic import Field, model_validator

from cogumi_core import Settings
from cogumi_router.calibration.names import Calibration
from cogumi_router.signals.names import SignalName


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
        description="What is read off an answer: the mean of its token log-probabilities, the lowest, a low quantile, or the "
        "named number that `feature` says.",
    )
    quantile: float = Field(
        0.1,
        gt=0.0,
        lt=1.0,
        description="Which quantile `signal: quantile` takes; 0.1 looks at the least certain tenth of tokens.",
    )
    feature: str = Field(
        "",
        max_length=200,
        description="Which of the rows' named features `signal: feature` takes; a higher number must mean a surer answer.",
    )

    @model_validator(mode="after")
    def _names_its_feature(self) -> ConfidenceSettings:
        if (self.signal == "feature") != bool(self.feature):
            message = "`signal: feature` and `feature: NAME` go together; leave both out, or give both"
            raise ValueError(message)
        return self
