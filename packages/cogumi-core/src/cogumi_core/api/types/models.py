"""Models on disk, and what was done to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cogumi_core.api.types.messages import JSON

ModelFormat = str
"""`hf` (a Hugging Face directory), `gguf` (a file llama.cpp loads), `zstd` (a packed file); a plugin may add its own."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A vocabulary that was cut: tokens now, tokens before, and what the text was that they were kept for."""

    tokens: int
    tokens_before: int
    kept_for: str = ""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is true of a model because of what was done to it, for the steps that come after.

    Each step says the facts of its own *result*: one that fills pruned weights with values again does not pass `sparsity` on.
    `sparsity`: share of zeros by kind of tensor (`attention`, `ffn`, `embeddings`), and `structure` how they lie (`2:4`,
    `unstructured`). `quantisation`: the type of most weights, in the format's own name. `other`: what a plugin has to tell its
    own later steps."""

    sparsity: Mapping[str, float] = field(default_factory=dict)
    structure: str = ""
    vocabulary: Vocabulary | None = None
    quantisation: str = ""
    other: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model on disk, and the facts that travel with it."""

    path: Path
    format: ModelFormat
    digest: str
    facts: ModelFacts = ModelFacts()


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """An adapter as the router sees it. `needs_schema`: it only answers requests that carry a schema, such as tool calls."""

    name: str
    domain: str
    needs_schema: bool = False
