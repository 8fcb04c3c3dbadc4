"""The calibrations by name; light, because settings are read whenever a recipe is."""

from __future__ import annotations

from typing import Literal

Calibration = Literal["sigmoid", "isotonic"]
