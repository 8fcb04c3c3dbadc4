"""What plugin authors test with: a conformance suite for each kind, pytest fixtures, fakes and throw-away distributions.

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
    from cogumi_core.testing.conformance import (
        BenchmarkSuite,
        ComponentSuite,
        CompressorSuite,
        DeduperSuite,
        EngineSuite,
        FilterSuite,
        ModifierSuite,
        RouterSuite,
        SourceSuite,
        TeacherSuite,
        TrainerSuite,
    )
    from cogumi_core.testing.distributions import write_distribution
    from cogumi_core.testing.fakes import EchoTeacher, ListSource, MoodyTeacher, PricedTeacher
    from cogumi_core.testing.isolated import IsolatedPlugins
    from cogumi_core.testing.samples import sample_examples, sample_prompts, sample_routes

__all__ = [
    "BenchmarkSuite",
    "ComponentSuite",
    "CompressorSuite",
    "DeduperSuite",
    "EchoTeacher",
    "EngineSuite",
    "FilterSuite",
    "IsolatedPlugins",
    "ListSource",
    "ModifierSuite",
    "MoodyTeacher",
    "PricedTeacher",
    "RouterSuite",
    "SourceSuite",
    "TeacherSuite",
    "TrainerSuite",
    "sample_examples",
    "sample_prompts",
    "sample_routes",
    "write_distribution",
]

_MODULES: Final = {
    "conformance": (
        "BenchmarkSuite ComponentSuite CompressorSuite DeduperSuite EngineSuite FilterSuite ModifierSuite RouterSuite "
        "SourceSuite TeacherSuite TrainerSuite"
    ),
    "distributions": "write_distribution",
    "fakes": "EchoTeacher ListSource MoodyTeacher PricedTeacher",
    "isolated": "IsolatedPlugins",
    "samples": "sample_examples sample_prompts sample_routes",
}
_HOME: Final = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        message = f"module '{__name__}' has no attribute '{name}'"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
