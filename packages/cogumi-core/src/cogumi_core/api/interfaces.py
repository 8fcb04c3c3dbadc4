"""One Protocol per kind of component: the contract between Cogumi and a plugin.

A component is made by its factory, `factory(settings, services)`: `settings` is an instance of the component's own settings
model, `services` a `Services`. Making one must be cheap; heavy libraries load in the component's own module, files and models
open in its methods.

Rules for every kind: read only what you are handed, write only below the `output` you are given, take randomness from
`run.seed`, call `run.progress` often (it is also where an interruption arrives), raise `CogumiError`s with a message that says
what, where and what to do. The conformance suites in `cogumi_core.testing` check these contracts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from cogumi_core.api.types import (
    JSON,
    Completion,
    CompletionRequest,
    CompressionReport,
    DuplicateGroup,
    Example,
    GenerateRequest,
    Grade,
    Message,
    ModelFormat,
    ModelRef,
    ModifierReport,
    Price,
    Prompt,
    RouteDecision,
    RouteExample,
    RouteRequest,
    RouterReport,
    Sampling,
    Task,
    Token,
    TrainReport,
    Verdict,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class ComponentSource(Protocol):
    """Where a component finds other components: the registry, seen narrowly."""

    def create(self, kind: str, name: str, /, **settings: Any) -> Any:
        """Make the component `name` of `kind`. Raises UnknownComponent, ComponentConflict, MissingDependency or
        RecipeError (wrong settings)."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What a component may use besides its settings. `base_dir`: where relative paths in settings start (the recipe's
    folder). `student`: the model the recipe names, None outside a recipe."""

    registry: ComponentSource
    environ: Mapping[str, str] = field(default_factory=dict)
    base_dir: Path = Path()
    student: ModelRef | None = None

    def locate(self, text: str) -> Path:
        """The file or folder that `text` names: a path, or `package:distribution/path/inside`. Raises InputError."""
        from cogumi_core.api.locate import locate

        return locate(text, self.base_dir)


class Progress(Protocol):
    """Receives progress of long work; raises Interrupted when the person asked to stop."""

    def __call__(self, done: float, total: float | None = None, unit: str = "", **figures: float) -> None: ...


def _no_progress(done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
    return None


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a component gets for one piece of long work.

    `scratch` survives a killed run of the same stage and is deleted when the stage completes: checkpoints, partial answers.
    `output` does not survive. `log` is for a sentence a person should read."""

    seed: int
    scratch: Path
    services: Services
    progress: Progress = _no_progress
    log: Callable[[str], None] = lambda message: None


# --- data ---------------------------------------------------------------------------------------------------------------


@runtime_checkable
class Source(Protocol):
    """Where prompts come from. Streams; the same settings and files give the same prompts in the same order, ids unique."""

    def prompts(self) -> Iterator[Prompt]: ...


@runtime_checkable
class Teacher(Protocol):
    """Answers one request. Cache, budget, retries, concurrency and resume are the caller's: `complete` is called at most once
    for each distinct request, ever.

    `identity` names what determines the answer (provider, model, digest of a local file) and is part of the cache key: no
    key, host, path or time. `sampling` is what it is asked with unless a stage says otherwise. `price` None means unknown,
    which is refused under a budget; free is `Price(0, 0)`. `concurrency` is how many calls may be under way at once.
    `needs_reference`: only prompts with a reference answer suit it.

    Raises TransientTeacherError, TeacherRefusal or TeacherUnavailable, and lets no other error of its SDK escape."""

    identity: Mapping[str, JSON]
    sampling: Sampling
    price: Price | None
    concurrency: int
    needs_reference: bool

    async def complete(self, request: CompletionRequest) -> Completion: ...


@runtime_checkable
class BatchTeacher(Teacher, Protocol):
    """A teacher whose provider also takes batches that may need a day. `submit` returns the provider's id, which the caller
    commits before anything else, so that after a crash the batch is adopted, not bought again. `keys` come back with
    the answers, in any order; an answer may be an error."""

    async def submit(self, requests: Mapping[str, CompletionRequest]) -> str: ...

    async def poll(self, batch_id: str) -> bool:
        """True when the answers can be fetched."""
        ...

    async def fetch(self, batch_id: str) -> Mapping[str, Completion | Exception]: ...


@runtime_checkable
class Filter(Protocol):
    """One verdict for each example, in order, streaming; a drop always has a reason. `RowFilter` turns `judge` into this."""

    def verdicts(self, examples: Iterable[Example]) -> Iterator[Verdict]: ...


class RowFilter:
    """Base of filters that look at one row at a time: write `judge(example) -> Verdict`."""

    def judge(self, example: Example) -> Verdict:
        message = f"{type(self).__name__} must define judge(example)"
        raise TypeError(message)

    def verdicts(self, examples: Iterable[Example]) -> Iterator[Verdict]:
        return (self.judge(example) for example in examples)


@runtime_checkable
class Deduper(Protocol):
    """Groups of near-identical examples; ids in no group are unique. No id is in two groups. The result does not depend on
    the order of the input, and the survivor is the best-scored copy."""

    def groups(self, examples: Iterable[Example]) -> Iterator[DuplicateGroup]: ...


# --- models -------------------------------------------------------------------------------------------------------------


@runtime_checkable
class Dataset(Protocol):
    """Examples on disk: iterable any number of times, with a length, never all in memory."""

    def __iter__(self) -> Iterator[Example]: ...

    def __len__(self) -> int: ...


@runtime_checkable
class Trainer(Protocol):
    """Fits a student. Writes a Hugging Face model (safetensors, tokenizer, chat template) into `output`; keeps checkpoints in
    `run.scratch` and goes on from the newest one."""

    def train(self, base: ModelRef, dataset: Dataset, output: Path, run: RunContext) -> TrainReport: ...


@runtime_checkable
class Compressor(Protocol):
    """One stage that makes a model smaller, from a format its `Component` `accepts` to the one it `produces`. Writes the model
    into `output`: a Hugging Face directory as it is, `model.gguf`, or a packed file.
    `calibration` gives texts, possibly none. Must honour and keep what `model.facts` say of earlier stages."""

    def compress(self, model: ModelRef, output: Path, calibration: Iterable[str], run: RunContext) -> CompressionReport: ...


@runtime_checkable
class Benchmark(Protocol):
    """Graded tasks in disjoint splits `mine`, `train`, `validate` (the same seed gives the same splits; no `group` is in two).
    `grade` must not raise on any answer, however odd, and grades `task.reference` as correct where there is one."""

    domain: str

    def tasks(self, split: str) -> Iterator[Task]: ...

    def grade(self, task: Task, answer: str) -> Grade: ...


@runtime_checkable
class Modifier(Protocol):
    """Builds the adapter of one domain for exactly the base that will be served. Writes `adapter.gguf` and `outcomes.jsonl`."""

    def build(self, base: ModelRef, output: Path, run: RunContext) -> ModifierReport: ...


# --- serving ------------------------------------------------------------------------------------------------------------


class Decider(Protocol):
    """A fitted router, open. Thread-safe, at most a few milliseconds a decision."""

    def decide(self, request: RouteRequest) -> RouteDecision: ...


@runtime_checkable
class Router(Protocol):
    """Learns when to keep the base's answer. `fit` writes its files into `output` (never a pickle), `open` reads them."""

    def fit(self, examples: Iterable[RouteExample], output: Path, run: RunContext) -> RouterReport: ...

    def open(self, path: Path) -> Decider: ...


class Session(Protocol):
    """A model in memory with any number of adapters. Methods may be called from several threads; the session orders the work.

    Isolation: what came before never changes an answer. After any sequence of requests and adapter swaps a greedy answer
    equals, token for token, that of a fresh session; a cache may be reused only where that holds (see the adapter that wrote
    it)."""

    context_tokens: int

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        """Tokens as they are chosen; the last has a `finish_reason`. Closing the iterator stops the work. Raises EngineError:
        the prompt does not fit, the schema cannot be a grammar, no such adapter."""
        ...

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Length of the rendered prompt, generation prefix included."""
        ...

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text` without added begin or end tokens; `special`: text of special tokens becomes their id."""
        ...

    def detokenize(self, tokens: Sequence[int]) -> str: ...

    def score(self, tokens: Sequence[int], adapter: str | None = None) -> npt.NDArray[np.float32]:
        """Log-probabilities [len(tokens), vocabulary], natural log: row i is the prediction after tokens[: i + 1]."""
        ...

    def load_adapter(self, name: str, path: Path) -> None: ...

    def unload_adapter(self, name: str) -> None: ...

    def close(self) -> None: ...


@runtime_checkable
class Engine(Protocol):
    """Runs models. `formats` are what `open` takes; raises InputError for a file that is damaged or of another kind.
    `vocab_only`: only tokenise. `reuse_prefix`: keep the cache of a shared beginning between requests (chat); off, each
    answer is computed from nothing, and so reproducible bit for bit."""

    formats: frozenset[ModelFormat]

    def open(
        self,
        model: Path,
        *,
        adapters: Mapping[str, Path] | None = None,
        context_tokens: int = 2048,
        vocab_only: bool = False,
        reuse_prefix: bool = False,
    ) -> Session: ...
