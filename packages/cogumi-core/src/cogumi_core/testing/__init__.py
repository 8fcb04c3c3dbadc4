"""What plugin authors test with: a conformance suite for each kind, pytest fixtures, fakes, a context and throw-away
distributions.

    from cogumi_core.testing import FilterSuite

    class TestMyFilter(FilterSuite):
        component = "my-filter"
        settings = {"max_words": 50}

The fixtures (`isolated_plugins`, `cogumi_registry`, `cogumi_store`, `run_context`, `smollm2`) are there as soon as cogumi-core
is installed. Needs pytest: `pip install "cogumi-core[testing]"`. Names load on first use, because pytest imports this package
in every session.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cogumi_core.testing.batch_provider import FakeBatchTeacher, Moods
    from cogumi_core.testing.conformance.base import ComponentSuite
    from cogumi_core.testing.conformance.batch_teachers import BatchTeacherSuite
    from cogumi_core.testing.conformance.benchmarks import BenchmarkSuite
    from cogumi_core.testing.conformance.compressors import CompressorSuite
    from cogumi_core.testing.conformance.dedupers import DeduperSuite
    from cogumi_core.testing.conformance.engines import EngineSuite
    from cogumi_core.testing.conformance.executors import ExecutorSuite
    from cogumi_core.testing.conformance.filters import FilterSuite
    from cogumi_core.testing.conformance.modifiers import ModifierSuite
    from cogumi_core.testing.conformance.routers import RouterSuite
    from cogumi_core.testing.conformance.sections import SectionSuite
    from cogumi_core.testing.conformance.sources import SourceSuite
    from cogumi_core.testing.conformance.teachers import TeacherSuite
    from cogumi_core.testing.conformance.trainers import TrainerSuite
    from cogumi_core.testing.context import a_run
    from cogumi_core.testing.distributions import write_distribution
    from cogumi_core.testing.fake_engine import FakeEngine
    from cogumi_core.testing.fakes import EchoTeacher, ListSource, MoodyTeacher, PickyExecutor, PricedTeacher
    from cogumi_core.testing.isolated import IsolatedPlugins
    from cogumi_core.testing.samples import (
        near_copies,
        sample_conversations,
        sample_examples,
        sample_prompts,
        sample_routes,
        written_dataset,
    )

__all__ = [
    "BatchTeacherSuite",
    "BenchmarkSuite",
    "ComponentSuite",
    "CompressorSuite",
    "DeduperSuite",
    "EchoTeacher",
    "EngineSuite",
    "ExecutorSuite",
    "FakeBatchTeacher",
    "FakeEngine",
    "FilterSuite",
    "IsolatedPlugins",
    "ListSource",
    "ModifierSuite",
    "Moods",
    "MoodyTeacher",
    "PickyExecutor",
    "PricedTeacher",
    "RouterSuite",
    "SectionSuite",
    "SourceSuite",
    "TeacherSuite",
    "TrainerSuite",
    "a_run",
    "near_copies",
    "sample_conversations",
    "sample_examples",
    "sample_prompts",
    "sample_routes",
    "write_distribution",
    "written_dataset",
]

_MODULES: Final = {
    "batch_provider": "FakeBatchTeacher Moods",
    "conformance.base": "ComponentSuite",
    "conformance.batch_teachers": "BatchTeacherSuite",
    "conformance.benchmarks": "BenchmarkSuite",
    "conformance.compressors": "CompressorSuite",
    "conformance.dedupers": "DeduperSuite",
    "conformance.engines": "EngineSuite",
    "conformance.executors": "ExecutorSuite",
    "conformance.filters": "FilterSuite",
    "conformance.modifiers": "ModifierSuite",
    "conformance.routers": "RouterSuite",
    "conformance.sections": "SectionSuite",
    "conformance.sources": "SourceSuite",
    "conformance.teachers": "TeacherSuite",
    "conformance.trainers": "TrainerSuite",
    "context": "a_run",
    "distributions": "write_distribution",
    "fake_engine": "FakeEngine",
    "fakes": "EchoTeacher ListSource MoodyTeacher PickyExecutor PricedTeacher",
    "isolated": "IsolatedPlugins",
    "samples": "near_copies sample_conversations sample_examples sample_prompts sample_routes written_dataset",
}
_HOME: Final = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        message = f"module '{__name__}' has no attribute '{name}'"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
