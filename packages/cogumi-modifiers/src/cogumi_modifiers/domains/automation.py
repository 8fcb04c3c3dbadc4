"""The modifier `automation`: function calls, trained and validated on disjoint functions of BFCL."""

from __future__ import annotations

from cogumi_core.api.interfaces import Services
from cogumi_modifiers.benchmarks.bfcl import DOMAIN, BfclBenchmark
from cogumi_modifiers.config import AutomationSettings
from cogumi_modifiers.domains.domain import DomainModifier


def automation(settings: AutomationSettings, services: Services) -> DomainModifier:
    """The settings are also those of the benchmark: its files and the sizes of its splits."""
    return DomainModifier(DOMAIN, BfclBenchmark(settings, services), settings, services)
