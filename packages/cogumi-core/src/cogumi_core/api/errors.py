"""Every error Cogumi raises on purpose.

A message says what happened, where, and what to do next; it is printed without a traceback.

    CogumiError
    ├── UsageError                  what was asked for cannot be done as written (exit 2)
    │   ├── RecipeError             one or more problems in a recipe
    │   ├── InputError              a file, model or dataset handed in is missing, damaged or of the wrong kind
    │   ├── UnknownComponent        no installed plugin offers that name
    │   ├── ComponentConflict       two plugins offer the same name
    │   ├── MissingDependency       the component needs an extra that is not installed
    │   └── MissingKey              an environment variable with a key is not set
    ├── PluginError                 a plugin broke its contract
    ├── StageError                  a stage of a run failed (exit 1)
    ├── StoreError                  the store cannot be read or written
    │   └── DamagedArtifact         a stored file differs from its manifest
    ├── BudgetExceeded              the next call could pass the budget (exit 3)
    ├── Pending                     a provider's batch is under way and will answer later (exit 4)
    ├── Interrupted                 the person asked to stop; the state can be resumed (exit 130)
    ├── TeacherError                one model call failed
    │   ├── TransientTeacherError   trying again later may work
    │   ├── TeacherRefusal          this request will never be answered; others may
    │   └── TeacherUnavailable      this teacher will answer nothing more
    └── EngineError                 the engine could not load or run a model
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

__all__ = [
    "BudgetExceeded",
    "CogumiError",
    "ComponentConflict",
    "DamagedArtifact",
    "EngineError",
    "InputError",
    "Interrupted",
    "MissingDependency",
    "MissingKey",
    "Pending",
    "PluginError",
    "RecipeError",
    "StageError",
    "StoreError",
    "TeacherError",
    "TeacherRefusal",
    "TeacherUnavailable",
    "TransientTeacherError",
    "UnknownComponent",
    "UsageError",
]


class CogumiError(Exception):
    """Base of all errors below; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(CogumiError):
    """What was asked for cannot be done as written."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe has problems; `problems` holds one line of text for each."""

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        self.name = name
        self.problems = tuple(problems)
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__("\n".join([f"{name}: {count}", *(f"  {line}" for line in problems)]))


class InputError(UsageError):
    """A file, model or dataset handed in is missing, damaged or of the wrong kind."""


class UnknownComponent(UsageError):
    """No installed plugin offers a component of that kind and name."""


class ComponentConflict(UsageError):
    """Two distributions offer the same kind and name; neither is taken."""


class MissingDependency(UsageError):
    """A component needs a library that is not installed; the message has the pip command."""


class MissingKey(UsageError):
    """An environment variable that should hold a key is not set."""


class PluginError(CogumiError):
    """A plugin broke its contract; the message names its distribution."""


class StageError(CogumiError):
    """A stage failed; `stage` is its name in the plan."""

    def __init__(self, stage: str, message: str) -> None:
        self.stage = stage
        super().__init__(f"stage '{stage}' failed: {message}")


class StoreError(CogumiError):
    """The store cannot be read or written."""


class DamagedArtifact(StoreError):
    """A stored file differs from its manifest, is missing, or was added."""


class BudgetExceeded(CogumiError):
    """The next model call could pass the budget; nothing was sent."""

    exit_code = 3


class Pending(CogumiError):
    """A provider's batch is under way; the same command takes the answers in once they are there. `until`: when to come back,
    if the provider says so."""

    exit_code = 4

    def __init__(self, message: str, *, until: datetime | None = None) -> None:
        self.until = until
        super().__init__(message)


class Interrupted(CogumiError):
    """The person asked to stop; the same command goes on from here."""

    exit_code = 130


class TeacherError(CogumiError):
    """One model call failed."""


class TransientTeacherError(TeacherError):
    """Trying again may work; `retry_after` is the least wait in seconds, if the provider named one."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class TeacherRefusal(TeacherError):
    """This request will never be answered by this teacher; other requests may be."""


class TeacherUnavailable(TeacherError):
    """This teacher will answer nothing more: a bad key, a retired model, an empty account."""


class EngineError(CogumiError):
    """The engine could not load or run a model."""
