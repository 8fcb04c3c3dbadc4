"""The one context that every working method gets, and the services behind it.

`run` carries all that a component may need besides its input: later needs become a field here, never another parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from cogumi_core.api.errors import PluginError, TeacherError
from cogumi_core.api.types import Completion, CompletionRequest, Example, ModelRef

if TYPE_CHECKING:
    from cogumi_core.api.interfaces.teaching import Teacher
    from cogumi_core.api.use import Use

Item = TypeVar("Item")
Result = TypeVar("Result")
Answer = Completion | TeacherError
"""What became of one request: its answer, or the error of this one request (a refusal, a fault that may pass)."""


class ComponentSource(Protocol):
    """Where a component finds other components: the registry, seen narrowly."""

    def create(self, kind: str, name: str, /, **settings: Any) -> Any:
        """Make the component `name` of `kind`. Raises UnknownComponent, ComponentConflict, MissingDependency or
        RecipeError (wrong settings)."""
        ...

    def make(self, use: Use[Any]) -> Any:
        """Make the component that a setting of type `Use[kind]` names. Raises as `create`."""
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

    def make(self, use: Use[Any]) -> Any:
        """The component that a setting of type `Use[kind]` names."""
        return self.registry.make(use)


class Progress(Protocol):
    """Receives progress of long work; raises Interrupted when the person asked to stop."""

    def __call__(self, done: float, total: float | None = None, unit: str = "", **figures: float) -> None: ...


class Calls(Protocol):
    """The paid-call engine, as one stage sees it, and the only way to a teacher."""

    def ask(self, teacher: Teacher, requests: Iterable[CompletionRequest]) -> Generator[Answer, None, None]:
        """One answer for each request, in order, as they come; requests are pulled as needed. Closing it ends what was asked.

        Every answer is paid for once, ever: cached under the request, reserved in the budget before it is sent, in the ledger
        under the stage's name, tried again where that may help, and resumed after a kill. Raises BudgetExceeded,
        TeacherUnavailable, Pending (a batch will answer later), Interrupted, StoreError, PluginError."""
        ...


class Executor(Protocol):
    """Runs pieces of work that do not depend on each other: in this process, in several, or on a cluster."""

    workers: int

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`function` of every item, in the order of the items; `function` is a module's own (it may have to travel by name),
        items and results can be pickled. What it raises is raised here; closing the iterator ends the work."""
        ...


class Dataset(Protocol):
    """Examples on disk: iterable any number of times, with a length, never all in memory."""

    def __iter__(self) -> Iterator[Example]: ...

    def __len__(self) -> int: ...

    def shards(self, count: int) -> Sequence[Dataset]:
        """At most `count` parts that together are the whole, in order; each can be pickled and read in another process."""
        ...


class Texts(Protocol):
    """Calibration texts: conversations as the model's own chat template writes them. Iterable any number of times."""

    def __iter__(self) -> Iterator[str]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What the recipe allows: US dollars for model calls over all its runs, bytes of the finished system. None: no limit."""

    usd: float | None = None
    bytes: int | None = None


def no_progress(done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
    return None


class NoCalls:
    """Outside a stage nobody pays for calls."""

    def ask(self, teacher: Teacher, requests: Iterable[CompletionRequest]) -> Generator[Answer, None, None]:
        message = "there is no paid-call engine here: `run.calls` works inside a stage, or with `cogumi_core.calls.open_calls`"
        raise PluginError(message)


class Inline:
    """One item after the other, here."""

    workers = 1

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        return map(function, items)


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a component gets for one piece of work.

    `scratch` survives a killed run of the same stage and is deleted when the stage completes: checkpoints, partial answers;
    `output`, where a method is given one, does not survive. `log` is for a sentence a person should read. `calls` is the way
    to teachers, `executor` to other processes. `budget` is the recipe's. `reference` is the uncompressed student and
    `dataset` the training rows, for the steps of `compress:`; `calibration` the texts that a step may calibrate with (None:
    there are none)."""

    seed: int
    scratch: Path
    services: Services
    progress: Progress = no_progress
    log: Callable[[str], None] = lambda message: None
    calls: Calls = field(default_factory=NoCalls)
    executor: Executor = field(default_factory=Inline)
    budget: Limits = Limits()
    reference: ModelRef | None = None
    dataset: Dataset | None = None
    calibration: Texts | None = None
