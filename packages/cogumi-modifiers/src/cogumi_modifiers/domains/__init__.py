"""Modifiers built from a benchmark: probe, collect failures, train, validate as served, accept or refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cogumi_core import Component

_BUILT_BY: Final[Mapping[str, Any]] = {
    "factory": "cogumi_modifiers.domains.domain:DomainModifier",
    "requires": (("train", "torch"), ("train", "peft"), ("train", "trl"), ("train", "gguf")),
    "accepts": frozenset({"gguf"}),
    "estimate": "cogumi_modifiers.domains.estimate:adapter_estimate",
}

COMPONENTS: Final = (
    Component(
        "modifier",
        "domain",
        "an adapter for what a benchmark asks, whoever provides the benchmark",
        config="cogumi_modifiers.domains.settings:DomainSettings",
        **_BUILT_BY,
    ),
    Component(
        "modifier",
        "automation",
        "an adapter for function calls, trained and validated on BFCL",
        config="cogumi_modifiers.domains.settings:AutomationSettings",
        **_BUILT_BY,
    ),
)
