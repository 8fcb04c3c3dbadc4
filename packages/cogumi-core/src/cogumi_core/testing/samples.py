"""Made-up data for tests: small, varied and the same each time.

The texts are there to upset what is careless: several scripts, code, white space, very short and rather long.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from cogumi_core.api.types import Example, Message, Prompt, RouteExample, ToolCall
from cogumi_core.formats.dataset import KEPT, JsonlDataset
from cogumi_core.formats.rows import example_row, write_rows

__all__ = [
    "ODD_TEXTS",
    "near_copies",
    "sample_conversations",
    "sample_examples",
    "sample_prompts",
    "sample_routes",
    "written_dataset",
]

DOMAINS: Final = ("code", "reasoning", "math", "science", "conversation", "creative")

ODD_TEXTS: Final = (
    "",
    " ",
    "\x00",
    "null",
    "-1e999",
    "```",
    "{",
    "[" * 400,
    '{"name": 1}',
    '{"name": "f", "arguments": []}',
    "日本語の答え 🙂",
    "def f(:\n  return",
    "\ud83d\ude42".encode("utf-16", "surrogatepass").decode("utf-16"),
    "yes " * 2000,
)
"""Answers that a grader must survive."""

_TOPICS: Final = (
    "how a bridge carries the weight of the traffic that crosses it",
    "why bread dough must rest before it is baked in a hot oven",
    "what a binary search does when the list holds no such value",
    "how the moon pulls the water of the sea twice every day",
    "why a violin string sounds higher when it is made shorter",
    "what a good apology to a friend should say and leave out",
    "how to add two fractions whose denominators are different",
    "why leaves turn yellow before they fall late in the autumn",
)


_ODD_RESPONSES: Final = (
    "Kurz.",
    "日本語の短い答えです。🙂",
    "```python\ndef f(x):\n    return x + 1\n```",
    "  spaces   and\ttabs  \n\n",
)


def sample_prompts(count: int = 8, *, references: bool = True) -> list[Prompt]:
    """`count` prompts over all domains, with reference answers if asked for."""
    return [
        Prompt(
            id=f"prompt-{index}",
            messages=(Message("user", f"Explain {_TOPICS[index % len(_TOPICS)]}, in {index + 2} sentences."),),
            domain=DOMAINS[index % len(DOMAINS)],
            source="samples",
            licence="CC0-1.0",
            reference=f"This is {_TOPICS[index % len(_TOPICS)]}." if references else None,
        )
        for index in range(count)
    ]


def sample_examples(count: int = 12) -> list[Example]:
    """`count` examples in the standard form: different texts, different scores; the last few are odd ones."""
    texts = [f"Answer {index}: {_paragraph(index)}" for index in range(count)]
    texts[-4:] = _ODD_RESPONSES
    return [_example(f"example-{index}", text, score=index / count) for index, text in enumerate(texts[:count])]


def sample_conversations() -> list[Example]:
    """Rows of more than one question and one answer: a system turn, several turns, a function that is called and answered."""
    weather = {"name": "weather", "description": "of a city", "parameters": {"type": "object", "properties": {}}}
    rules, asked = Message("system", "Answer in one word."), Message("user", "Is it warm in Lisbon?")
    call = ToolCall("weather", '{"city": "Lisbon"}', "call-1")
    called, result = Message("assistant", tool_calls=(call,)), Message("tool", "24 degrees", tool_call_id="call-1")
    turns = {
        "rules": (rules, asked, Message("assistant", "Yes.")),
        "turns": (asked, Message("assistant", "Yes."), Message("user", "And in Oslo?"), Message("assistant", "No.")),
        "call": (asked, called),
        "result": (rules, asked, called, result, Message("assistant", "Yes.")),
    }
    metadata = {"domain": "automation", "quality_score": 0.5, "source": "samples", "licence": "CC0-1.0", "tokens": 2}
    return [
        Example(f"conversation-{name}", messages, metadata, (weather,) if name in ("call", "result") else ())
        for name, messages in turns.items()
    ]


def written_dataset(folder: Path, examples: Iterable[Example]) -> JsonlDataset:
    """The examples as a data set on disk, which is how stages hand them over."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / KEPT, map(example_row, examples))
    return JsonlDataset.open(folder)


def near_copies(index: int = 0, scores: Sequence[float] = (0.2, 0.9, 0.5)) -> list[Example]:
    """Examples that say the same, one word apart, with these quality scores."""
    text = _paragraph(index)
    return [_example(f"copy-{index}-{number}", f"{text} {number}", score=score) for number, score in enumerate(scores)]


def sample_routes(count: int = 80, *, domain: str = "automation", seed: int = 17) -> list[RouteExample]:
    """Graded outcomes in which confident answers are mostly right: half to learn from, half held out. Each has a named feature,
    which says nothing."""
    rng = random.Random(seed)
    return [_route(index, domain, rng) for index in range(count)]


def _route(index: int, domain: str, rng: random.Random) -> RouteExample:
    correct = index % 4 in (0, 3)
    mean = -0.15 if correct else -1.1
    return RouteExample(
        messages=(Message("user", f"Question {index}: {_TOPICS[index % len(_TOPICS)]}?"),),
        domain=domain if index % 2 else "conversation",
        split="fit" if index % 4 < 2 else "held-out",
        answer=f"answer {index}",
        logprobs=tuple(min(-0.001, rng.gauss(mean, 0.25)) for _ in range(12)),
        correct=correct,
        adapter_correct=rng.random() < 0.7 if index % 2 else None,
        has_schema=bool(index % 2),
        features={"noise": rng.random()},
    )


def _paragraph(index: int) -> str:
    """Some fifty words that share few with those of another index."""
    rng = random.Random(index)
    words = " ".join(_TOPICS).split()
    return " ".join(f"{rng.choice(words)}{rng.randrange(1000)}" for _ in range(50))


def _example(identifier: str, text: str, *, score: float) -> Example:
    metadata = {
        "domain": "science",
        "quality_score": score,
        "source": "samples",
        "licence": "CC0-1.0",
        "tokens": len(text) // 4,
    }
    return Example.of(identifier, f"Instruction of {identifier}", text, metadata)
