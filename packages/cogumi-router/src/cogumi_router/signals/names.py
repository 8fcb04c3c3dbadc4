"""The signals by name; light, because settings are read whenever a recipe is."""

from __future__ import annotations

from typing import Literal

SignalName = Literal["mean", "min", "quantile", "feature"]
