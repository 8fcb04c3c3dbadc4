"""One Protocol per kind of component: the contract between Cogumi and a plugin.

A component is made by its factory, `factory(settings, services)`: `settings` is an instance of the component's own settings
model, `services` a `Services`. Making one must be cheap; heavy libraries load in the component's own module, files and models
open in its methods.

Rules for every kind: read only what you are handed, write only below the `output` you are given, take randomness from
`run.seed`, call `run.progress` often (it is also where an interruption arrives), ask teachers through `run.calls` alone, raise
`CogumiError`s with a message that says what, where and what to do. The conformance suites in `cogumi_core.testing` check these
contracts. One module a subject; import from here.
"""

from __future__ import annotations

from cogumi_core.api.interfaces.context import (
    Answer,
    Calls,
    ComponentSource,
    Dataset,
    Executor,
    Inline,
    Limits,
    Progress,
    RunContext,
    Services,
    Texts,
)
from cogumi_core.api.interfaces.data import Deduper, Filter, RowFilter, Source
from cogumi_core.api.interfaces.models import Benchmark, Compressor, Modifier, Trainer
from cogumi_core.api.interfaces.serving import (
    Decider,
    EmbeddingSession,
    Engine,
    Router,
    Session,
    Watcher,
    WatchingDecider,
)
from cogumi_core.api.interfaces.teaching import BatchTeacher, Teacher

__all__ = [
    "Answer",
    "BatchTeacher",
    "Benchmark",
    "Calls",
    "ComponentSource",
    "Compressor",
    "Dataset",
    "Decider",
    "Deduper",
    "EmbeddingSession",
    "Engine",
    "Executor",
    "Filter",
    "Inline",
    "Limits",
    "Modifier",
    "Progress",
    "Router",
    "RowFilter",
    "RunContext",
    "Services",
    "Session",
    "Source",
    "Teacher",
    "Texts",
    "Trainer",
    "Watcher",
    "WatchingDecider",
]
