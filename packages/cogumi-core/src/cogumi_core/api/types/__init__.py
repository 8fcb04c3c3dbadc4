"""The values that pass between components: frozen, slotted, free of behaviour that needs a library.

Everything here is cheap to create, compares by value and holds no file handle. Conversions to and from JSON rows live in
`cogumi_core.formats.rows`. One module a subject; import from here.
"""

from __future__ import annotations

from cogumi_core.api.types.data import Duplicate, DuplicateGroup, Example, Prompt, Verdict
from cogumi_core.api.types.messages import JSON, Message, Role, Sampling, Tool, ToolCall
from cogumi_core.api.types.models import AdapterInfo, ModelFacts, ModelFormat, ModelRef, Vocabulary
from cogumi_core.api.types.reports import (
    AdapterOffer,
    Estimate,
    Interval,
    LossPoint,
    ModelReport,
    ModifierReport,
    ReliabilityBin,
    RouterReport,
)
from cogumi_core.api.types.serving import (
    GenerateRequest,
    OpenOptions,
    RouteDecision,
    RouteExample,
    RouteRequest,
    Token,
)
from cogumi_core.api.types.tasks import Grade, Task
from cogumi_core.api.types.teaching import (
    BatchLimits,
    BatchState,
    Completion,
    CompletionRequest,
    Price,
    Usage,
)

__all__ = [
    "JSON",
    "AdapterInfo",
    "AdapterOffer",
    "BatchLimits",
    "BatchState",
    "Completion",
    "CompletionRequest",
    "Duplicate",
    "DuplicateGroup",
    "Estimate",
    "Example",
    "GenerateRequest",
    "Grade",
    "Interval",
    "LossPoint",
    "Message",
    "ModelFacts",
    "ModelFormat",
    "ModelRef",
    "ModelReport",
    "ModifierReport",
    "OpenOptions",
    "Price",
    "Prompt",
    "ReliabilityBin",
    "Role",
    "RouteDecision",
    "RouteExample",
    "RouteRequest",
    "RouterReport",
    "Sampling",
    "Task",
    "Token",
    "Tool",
    "ToolCall",
    "Usage",
    "Verdict",
    "Vocabulary",
]
