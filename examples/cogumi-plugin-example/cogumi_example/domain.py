"""A domain: a name and defaults for the modifier that cogumi-modifiers builds from any benchmark.

Probing the base, training, exporting the adapter and the paired test against the strongest untrained configuration are its.
Without this file, `{use: domain, with: {benchmark: iso-dates}}` does the same.
"""

from pydantic import Field

from cogumi_core import Benchmark, Use
from cogumi_modifiers.domains.settings import DomainSettings


class IsoDatesSettings(DomainSettings):
    """Settings of the modifier `iso-dates`."""

    benchmark: Use[Benchmark] = Field(Use("benchmark", "iso-dates"), description="the tasks of the domain")
