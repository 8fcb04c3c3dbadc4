"""Conformance suites: the contracts of `cogumi_core.api.interfaces`, as tests a plugin author inherits.

Subclass the suite of the kind in a test module and name the component; pytest runs every check. What a suite feeds its
component are fixtures, so that a subclass can give better ones.
"""

from cogumi_core.testing.conformance.base import ComponentSuite
from cogumi_core.testing.conformance.data import DeduperSuite, FilterSuite, SourceSuite
from cogumi_core.testing.conformance.domains import BenchmarkSuite, ModifierSuite
from cogumi_core.testing.conformance.engines import EngineSuite
from cogumi_core.testing.conformance.models import CompressorSuite, TrainerSuite
from cogumi_core.testing.conformance.routers import RouterSuite
from cogumi_core.testing.conformance.teachers import TeacherSuite

__all__ = [
    "BenchmarkSuite",
    "ComponentSuite",
    "CompressorSuite",
    "DeduperSuite",
    "EngineSuite",
    "FilterSuite",
    "ModifierSuite",
    "RouterSuite",
    "SourceSuite",
    "TeacherSuite",
    "TrainerSuite",
]
