"""The values that pass between components: frozen, slotted, free of behaviour that needs a library.

Everything here is cheap to create, compares by value and holds no file handle. Conversions to and from JSON rows live in
`cogumi_core.formats.rows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

JSON = Any
Role = Literal["system", "user", "assistant", "tool"]
ModelFormat = str
"""`hf` (a Hugging Face directory), `gguf` (a file llama.cpp loads), `zstd` (a packed file); a plugin may add its own."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, in OpenAI's terms."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question from a source. `reference` is the source's own answer where it has one."""

    id: str
    messages: tuple[Message, ...]
    domain: str
    source: str
    licence: str
    reference: str | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. `temperature` 0 is greedy; `seed` None leaves it to the engine."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What a teacher is asked. `schema` (JSON Schema) constrains the answer; `reference` is the source's own answer."""

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    schema: Mapping[str, JSON] | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `cached_tokens` are those of `prompt_tokens` that the provider did not compute again."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input_usd: float
    output_usd: float


@dataclass(frozen=True, slots=True)
class Completion:
    """A teacher's answer. `finish_reason` is `stop`, `length` or the provider's own word."""

    text: str
    usage: Usage
    finish_reason: str
    model: str


@dataclass(frozen=True, slots=True)
class Example:
    """One training row in the standard form. `metadata` holds domain, difficulty, teacher, quality_score, tokens, source,
    licence."""

    id: str
    instruction: str
    response: str
    metadata: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A filter's word on one example; a drop has a `reason` (a short fixed phrase) and `evidence` (what was seen)."""

    keep: bool
    reason: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A copy that goes, and its exact Jaccard similarity (0 to 1) to the survivor."""

    id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Near-identical examples: `survivor` stays, `duplicates` go. Every duplicate is verified against the survivor itself."""

    survivor: str
    duplicates: tuple[Duplicate, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """A graded task. `group` never straddles two splits; `schema` constrains an answer; `reference` is one correct answer;
    `expected` is whatever the benchmark's own grader needs."""

    id: str
    messages: tuple[Message, ...]
    domain: str
    group: str
    expected: JSON
    reference: str | None = None
    schema: Mapping[str, JSON] | None = None
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Grade:
    """`score` in [0, 1]; `reason` says what was wrong in a short fixed phrase, empty when correct."""

    correct: bool
    score: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token. `text` may be empty while a multi-byte character is incomplete. `logprob` is the natural log of
    the model's own probability of it, before temperature and top-p; under a grammar, its probability among the tokens that the
    grammar allows, because a token that is forced says nothing of what the model knows. The last one has a `finish_reason`."""

    id: int
    text: str
    logprob: float
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """What an engine is asked to continue: a conversation, or, if `prompt` is given, that raw text without a chat template."""

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    schema: Mapping[str, JSON] | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model on disk. `facts` travel with it: what earlier stages did that later ones must honour (sparsity, vocabulary)."""

    path: Path
    format: ModelFormat
    digest: str
    facts: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """An adapter as the router sees it. `needs_schema`: it only answers requests that carry a schema, such as tool calls."""

    name: str
    domain: str
    needs_schema: bool = False


@dataclass(frozen=True, slots=True)
class RouteExample:
    """What a router learns from: a query, the base's answer with its token log-probabilities, and whether it was right.

    `correct` None: not graded, useful only for telling domains apart. `split`: `fit` rows are learned from, `held-out`
    rows are only measured on."""

    messages: tuple[Message, ...]
    domain: str
    split: Literal["fit", "held-out"]
    answer: str = ""
    logprobs: tuple[float, ...] = ()
    correct: bool | None = None
    adapter_correct: bool | None = None
    has_schema: bool = False


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """The base has answered; `adapters` could answer instead."""

    messages: tuple[Message, ...]
    answer: str
    logprobs: tuple[float, ...]
    adapters: tuple[AdapterInfo, ...]
    has_schema: bool = False


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """`route` is `base` or an adapter's name; `confidence` is the calibrated probability that the base is right."""

    route: str
    confidence: float
    threshold: float
    reason: str
    signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LossPoint:
    """One logged training step; `loss` is the mean over answer tokens, in nats."""

    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a trainer did. `deterministic`: the same inputs give the same bytes again, also after a resume."""

    losses: Sequence[LossPoint]
    metrics: Mapping[str, JSON] = field(default_factory=dict)
    deterministic: bool = True
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class CompressionReport:
    """What a compressor did. `lossless`: unpacking gives back the input bit for bit. `facts` are added to the model's."""

    lossless: bool = False
    metrics: Mapping[str, JSON] = field(default_factory=dict)
    facts: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with its 95 % confidence interval (Wilson, 1927, unless said otherwise), all in [0, 1]."""

    share: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class ModifierReport:
    """What a modifier did. It wrote `adapter.gguf` and `outcomes.jsonl` (rows of `RouteExample`) into its output.

    `baseline` is the strongest untrained configuration on the held-out tasks, `result` the adapter as served. `won` / `lost`
    count tasks that only the adapter / only the baseline solved, `p_value` is McNemar's exact test on them. `accepted`:
    the gate passed; a refused modifier stays out of the system."""

    domain: str
    accepted: bool
    baseline: Interval
    result: Interval
    won: int
    lost: int
    p_value: float
    reason: str
    needs_schema: bool = False
    losses: Sequence[LossPoint] = ()
    configurations: Mapping[str, Interval] = field(default_factory=dict)
    fixed: Sequence[Mapping[str, JSON]] = ()
    failing: Sequence[Mapping[str, JSON]] = ()
    metrics: Mapping[str, JSON] = field(default_factory=dict)
    deterministic: bool = True
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Mean confidence and share correct of the held-out answers whose confidence fell into one bin."""

    confidence: float
    accuracy: float
    n: int


@dataclass(frozen=True, slots=True)
class RouterReport:
    """What a router learned. Figures are on held-out rows; `auroc`, `ece` and `brier` are None when they cannot be measured
    (too few rows, or all of one outcome). `escalated` is the share of held-out rows sent to a modifier."""

    n_fit: int
    n_held_out: int
    threshold: float
    auroc: float | None
    ece: float | None
    brier: float | None
    escalated: float | None
    reliability: Sequence[ReliabilityBin] = ()
    metrics: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A forecast for `cogumi plan`; None where it is not known."""

    usd: float | None = None
    bytes: int | None = None
    seconds: float | None = None
    memory_bytes: int | None = None
