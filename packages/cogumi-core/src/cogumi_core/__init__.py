"""Plugin host, recipe, store and pipeline of Cogumi.

The public names load on first use: importing this package costs next to nothing, and a plugin's light module stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cogumi_core.api.component import API_VERSION, KINDS, Component
    from cogumi_core.api.errors import (
        BudgetExceeded,
        CogumiError,
        ComponentConflict,
        DamagedArtifact,
        EngineError,
        InputError,
        Interrupted,
        MissingDependency,
        MissingKey,
        PluginError,
        RecipeError,
        StageError,
        StoreError,
        TeacherError,
        TeacherRefusal,
        TeacherUnavailable,
        TransientTeacherError,
        UnknownComponent,
        UsageError,
    )
    from cogumi_core.api.events import Event, Listener, Note, StageFailed, StageFinished, StageProgress, StageStarted
    from cogumi_core.api.hookspecs import hookimpl
    from cogumi_core.api.interfaces import (
        BatchTeacher,
        Benchmark,
        ComponentSource,
        Compressor,
        Dataset,
        Decider,
        Deduper,
        Engine,
        Filter,
        Modifier,
        Progress,
        Router,
        RowFilter,
        RunContext,
        Services,
        Session,
        Source,
        Teacher,
        Trainer,
    )
    from cogumi_core.api.settings import ByteSize, Settings, execution_only, input_file
    from cogumi_core.api.types import (
        JSON,
        AdapterInfo,
        Completion,
        CompletionRequest,
        CompressionReport,
        Duplicate,
        DuplicateGroup,
        Estimate,
        Example,
        GenerateRequest,
        Grade,
        Interval,
        LossPoint,
        Message,
        ModelFormat,
        ModelRef,
        ModifierReport,
        Price,
        Prompt,
        ReliabilityBin,
        Role,
        RouteDecision,
        RouteExample,
        RouteRequest,
        RouterReport,
        Sampling,
        Task,
        Token,
        TrainReport,
        Usage,
        Verdict,
    )
    from cogumi_core.plugins.host import PluginHost, PluginState, Provided
    from cogumi_core.plugins.registry import Registry
    from cogumi_core.recipe.parse import Recipe, Step, load_recipe, parse_recipe
    from cogumi_core.run.pipeline import plan, run

__all__ = [
    "API_VERSION",
    "JSON",
    "KINDS",
    "AdapterInfo",
    "BatchTeacher",
    "Benchmark",
    "BudgetExceeded",
    "ByteSize",
    "CogumiError",
    "Completion",
    "CompletionRequest",
    "Component",
    "ComponentConflict",
    "ComponentSource",
    "CompressionReport",
    "Compressor",
    "DamagedArtifact",
    "Dataset",
    "Decider",
    "Deduper",
    "Duplicate",
    "DuplicateGroup",
    "Engine",
    "EngineError",
    "Estimate",
    "Event",
    "Example",
    "Filter",
    "GenerateRequest",
    "Grade",
    "InputError",
    "Interrupted",
    "Interval",
    "Listener",
    "LossPoint",
    "Message",
    "MissingDependency",
    "MissingKey",
    "ModelFormat",
    "ModelRef",
    "Modifier",
    "ModifierReport",
    "Note",
    "PluginError",
    "PluginHost",
    "PluginState",
    "Price",
    "Progress",
    "Prompt",
    "Provided",
    "Recipe",
    "RecipeError",
    "Registry",
    "ReliabilityBin",
    "Role",
    "RouteDecision",
    "RouteExample",
    "RouteRequest",
    "Router",
    "RouterReport",
    "RowFilter",
    "RunContext",
    "Sampling",
    "Services",
    "Session",
    "Settings",
    "Source",
    "StageError",
    "StageFailed",
    "StageFinished",
    "StageProgress",
    "StageStarted",
    "Step",
    "StoreError",
    "Task",
    "Teacher",
    "TeacherError",
    "TeacherRefusal",
    "TeacherUnavailable",
    "Token",
    "TrainReport",
    "Trainer",
    "TransientTeacherError",
    "UnknownComponent",
    "Usage",
    "UsageError",
    "Verdict",
    "execution_only",
    "hookimpl",
    "input_file",
    "load_recipe",
    "parse_recipe",
    "plan",
    "run",
]

_MODULES: Final = {
    "api.component": "API_VERSION KINDS Component",
    "api.errors": (
        "BudgetExceeded CogumiError ComponentConflict DamagedArtifact EngineError InputError Interrupted "
        "MissingDependency MissingKey PluginError RecipeError StageError StoreError TeacherError TeacherRefusal "
        "TeacherUnavailable TransientTeacherError UnknownComponent UsageError"
    ),
    "api.events": "Event Listener Note StageFailed StageFinished StageProgress StageStarted",
    "api.hookspecs": "hookimpl",
    "api.interfaces": (
        "BatchTeacher Benchmark ComponentSource Compressor Dataset Decider Deduper Engine Filter Modifier "
        "Progress Router RowFilter RunContext Services Session Source Teacher Trainer"
    ),
    "run.pipeline": "plan run",
    "plugins.host": "PluginHost PluginState Provided",
    "recipe.parse": "Recipe Step load_recipe parse_recipe",
    "plugins.registry": "Registry",
    "api.settings": "ByteSize Settings execution_only input_file",
    "api.types": (
        "JSON AdapterInfo Completion CompletionRequest CompressionReport Duplicate DuplicateGroup Estimate "
        "Example GenerateRequest Grade Interval LossPoint Message ModelFormat ModelRef ModifierReport Price "
        "Prompt ReliabilityBin Role RouteDecision RouteExample RouteRequest RouterReport Sampling Task Token "
        "TrainReport Usage Verdict"
    ),
}
_HOME: Final = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        message = f"module '{__name__}' has no attribute '{name}'"
        raise AttributeError(message)
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
