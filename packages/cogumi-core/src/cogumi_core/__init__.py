"""Plugin host, recipe, store and pipeline of Cogumi.

The public names load on first use: importing this package costs next to nothing, and a plugin's light module stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cogumi_core.api.component import API_VERSION, KINDS, Component, Provided
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
        Pending,
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
        Answer,
        BatchTeacher,
        Benchmark,
        Calls,
        ComponentSource,
        Compressor,
        Dataset,
        Decider,
        Deduper,
        EmbeddingSession,
        Engine,
        Executor,
        Filter,
        Inline,
        Limits,
        Modifier,
        Progress,
        Router,
        RowFilter,
        RunContext,
        Services,
        Session,
        Source,
        Teacher,
        Texts,
        Trainer,
        Watcher,
        WatchingDecider,
    )
    from cogumi_core.api.locate import locate
    from cogumi_core.api.sections import Section
    from cogumi_core.api.settings import ByteSize, Settings, engine_of_recipe, execution_only, input_file, parse_bytes
    from cogumi_core.api.types import (
        JSON,
        AdapterInfo,
        AdapterOffer,
        BatchLimits,
        BatchState,
        Completion,
        CompletionRequest,
        Duplicate,
        DuplicateGroup,
        Estimate,
        Example,
        GenerateRequest,
        Grade,
        Interval,
        LossPoint,
        Message,
        ModelFacts,
        ModelFormat,
        ModelRef,
        ModelReport,
        ModifierReport,
        OpenOptions,
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
        Tool,
        ToolCall,
        Usage,
        Verdict,
        Vocabulary,
    )
    from cogumi_core.api.use import Use
    from cogumi_core.pipeline.planning import plan
    from cogumi_core.pipeline.running import run
    from cogumi_core.plugins.host import PluginHost, PluginState
    from cogumi_core.plugins.near import did_you_mean
    from cogumi_core.plugins.registry import Registry
    from cogumi_core.recipe.form import Recipe, Step
    from cogumi_core.recipe.parse import load_recipe, parse_recipe
    from cogumi_core.report.part import ReportPart
    from cogumi_core.stages.base import Built, Stage, Work
    from cogumi_core.store.artifacts import Artifact
    from cogumi_core.store.fingerprint import settings_for_fingerprint

__all__ = [
    "API_VERSION",
    "JSON",
    "KINDS",
    "AdapterInfo",
    "AdapterOffer",
    "Answer",
    "Artifact",
    "BatchLimits",
    "BatchState",
    "BatchTeacher",
    "Benchmark",
    "BudgetExceeded",
    "Built",
    "ByteSize",
    "Calls",
    "CogumiError",
    "Completion",
    "CompletionRequest",
    "Component",
    "ComponentConflict",
    "ComponentSource",
    "Compressor",
    "DamagedArtifact",
    "Dataset",
    "Decider",
    "Deduper",
    "Duplicate",
    "DuplicateGroup",
    "EmbeddingSession",
    "Engine",
    "EngineError",
    "Estimate",
    "Event",
    "Example",
    "Executor",
    "Filter",
    "GenerateRequest",
    "Grade",
    "Inline",
    "InputError",
    "Interrupted",
    "Interval",
    "Limits",
    "Listener",
    "LossPoint",
    "Message",
    "MissingDependency",
    "MissingKey",
    "ModelFacts",
    "ModelFormat",
    "ModelRef",
    "ModelReport",
    "Modifier",
    "ModifierReport",
    "Note",
    "OpenOptions",
    "Pending",
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
    "ReportPart",
    "Role",
    "RouteDecision",
    "RouteExample",
    "RouteRequest",
    "Router",
    "RouterReport",
    "RowFilter",
    "RunContext",
    "Sampling",
    "Section",
    "Services",
    "Session",
    "Settings",
    "Source",
    "Stage",
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
    "Texts",
    "Token",
    "Tool",
    "ToolCall",
    "Trainer",
    "TransientTeacherError",
    "UnknownComponent",
    "Usage",
    "UsageError",
    "Use",
    "Verdict",
    "Vocabulary",
    "Watcher",
    "WatchingDecider",
    "Work",
    "did_you_mean",
    "engine_of_recipe",
    "execution_only",
    "hookimpl",
    "input_file",
    "load_recipe",
    "locate",
    "parse_bytes",
    "parse_recipe",
    "plan",
    "run",
    "settings_for_fingerprint",
]

_MODULES: Final = {
    "api.component": "API_VERSION Component KINDS Provided",
    "api.errors": (
        "BudgetExceeded CogumiError ComponentConflict DamagedArtifact EngineError InputError Interrupted "
        "MissingDependency MissingKey Pending PluginError RecipeError StageError StoreError TeacherError "
        "TeacherRefusal TeacherUnavailable TransientTeacherError UnknownComponent UsageError"
    ),
    "api.events": "Event Listener Note StageFailed StageFinished StageProgress StageStarted",
    "api.hookspecs": "hookimpl",
    "api.interfaces": (
        "Answer BatchTeacher Benchmark Calls ComponentSource Compressor Dataset Decider Deduper EmbeddingSession "
        "Engine Executor Filter Inline Limits Modifier Progress Router RowFilter RunContext Services Session "
        "Source Teacher Texts Trainer Watcher WatchingDecider"
    ),
    "api.locate": "locate",
    "api.sections": "Section",
    "api.settings": "ByteSize Settings engine_of_recipe execution_only input_file parse_bytes",
    "api.types": (
        "AdapterInfo AdapterOffer BatchLimits BatchState Completion CompletionRequest Duplicate DuplicateGroup "
        "Estimate Example GenerateRequest Grade Interval JSON LossPoint Message ModelFacts ModelFormat ModelRef "
        "ModelReport ModifierReport OpenOptions Price Prompt ReliabilityBin Role RouteDecision RouteExample "
        "RouteRequest RouterReport Sampling Task Token Tool ToolCall Usage Verdict Vocabulary"
    ),
    "api.use": "Use",
    "plugins.host": "PluginHost PluginState",
    "plugins.near": "did_you_mean",
    "plugins.registry": "Registry",
    "recipe.form": "Recipe Step",
    "recipe.parse": "load_recipe parse_recipe",
    "report.part": "ReportPart",
    "pipeline.running": "run",
    "pipeline.planning": "plan",
    "stages.base": "Built Stage Work",
    "store.artifacts": "Artifact",
    "store.fingerprint": "settings_for_fingerprint",
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
