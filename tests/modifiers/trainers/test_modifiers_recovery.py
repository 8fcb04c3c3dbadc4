"""A trainer in `compress:`: it stands between a step that damages and the export, and says what holds of its own result."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from modifiers_training_support import examples, reference

from cogumi_core import (
    ModelFacts,
    ModelRef,
    ModelReport,
    Registry,
    RunContext,
    Services,
    Settings,
    parse_recipe,
    run,
)
from cogumi_core.formats.rows import example_row, write_rows
from cogumi_core.testing import IsolatedPlugins
from cogumi_modifiers import trainers
from cogumi_modifiers.students.hf import load_student, save_student
from cogumi_modifiers.testing import tiny_llama

RECIPE = """
version: 1
name: recovery
student: student
dataset: data.jsonl
compress:
  - {use: halve}
  - {use: qlora, with: {lora_r: 4, max_steps: 3, save_steps: 0, quantization: none}}
  - {use: look}
"""


class Halve:
    """Zeros every second column of the feed-forward layers, and says so."""

    def __init__(self, settings: Settings, services: Services) -> None: ...

    def compress(self, model: ModelRef, output: Path, run: RunContext) -> ModelReport:
        student, tokenizer = load_student(model, torch.bfloat16)
        for layer in student.model.layers:
            layer.mlp.up_proj.weight.data[:, ::2] = 0
        save_student(student, tokenizer, output)
        return ModelReport(ModelFacts({"ffn": 1 / 6}, "columns"))


class Look:
    """Passes the model on, and keeps what it was told of it."""

    seen: ModelFacts | None = None

    def __init__(self, settings: Settings, services: Services) -> None: ...

    def compress(self, model: ModelRef, output: Path, run: RunContext) -> ModelReport:
        Look.seen = model.facts
        save_student(*load_student(model, torch.bfloat16), output)
        return ModelReport(model.facts)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    plugins = IsolatedPlugins()
    both = {"accepts": frozenset({"hf"}), "produces": "hf"}
    plugins.offer("compressor", "halve", Halve, **both)
    plugins.offer("compressor", "look", Look, **both)
    plugins.add(*trainers.COMPONENTS, distribution="cogumi-modifiers")
    return plugins.registry(base_dir=tmp_path)


def test_it_recovers_between_pruning_and_what_follows(registry: Registry, tmp_path: Path) -> None:
    tiny_llama(tmp_path / "student", dtype=torch.bfloat16)
    write_rows(tmp_path / "data.jsonl", map(example_row, examples(8)))
    recipe = parse_recipe(RECIPE, base_dir=tmp_path, registry=registry)
    done = run(recipe, out=tmp_path / "out", store=tmp_path / "store", registry=registry)
    facts = {name: artifact.manifest.facts for name, artifact in done.artifacts.items() if name.startswith("compress")}
    assert facts["compress[0]:halve"] == ModelFacts({"ffn": 1 / 6}, "columns")
    assert facts["compress[1]:qlora"] == facts["compress[2]:look"] == Look.seen == ModelFacts()
    metrics = done.artifacts["compress[1]:qlora"].manifest.metrics
    assert [point["step"] for point in metrics["losses"]] == [1, 2, 3]
    trained, _ = load_student(reference(done.artifacts["compress[1]:qlora"].path))
    assert float((trained.model.layers[0].mlp.up_proj.weight == 0).float().mean()) < 0.25
