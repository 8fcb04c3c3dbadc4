"""What the report shows, as values: the pipeline fills them in, `to_json` keeps them beside the system, `render` draws them.

A section that has nothing to say is an empty tuple or None, and does not appear. Figures that were not measured are None with
a reason next to them, never zero.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from cogumi_core.api.errors import InputError
from cogumi_core.api.types import JSON, LossPoint, ModifierReport, RouterReport
from cogumi_core.measure.fidelity import Fidelity

FORMAT = "cogumi-report"
VERSION = 1


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of the run. `hit`: it was in the store already, and `seconds` is what looking took. `figure` is the one short
    phrase that stands in its box of the picture ("181 rows kept"); empty: its size."""

    name: str
    kind: str
    component: str
    distribution: str
    hit: bool
    seconds: float
    digest: str
    bytes: int
    tokens_prompt: int = 0
    tokens_completion: int = 0
    usd: float = 0.0
    summary: str = ""
    figure: str = ""
    deterministic: bool = True
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class DroppedRow:
    """A row that went, and why."""

    id: str
    text: str
    reason: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class DataRow:
    """Rows into and out of one data stage. `reasons` counts the dropped ones; `samples` shows a few."""

    stage: str
    rows_in: int
    kept: int
    dropped: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    samples: Sequence[DroppedRow] = ()


@dataclass(frozen=True, slots=True)
class Training:
    """The loss curve of one training."""

    name: str
    losses: Sequence[LossPoint]
    note: str = ""


@dataclass(frozen=True, slots=True)
class CompressionRow:
    """One step of the model's size. Without `fidelity`, `note` says why: "bit-identical", "not measured: ..."."""

    stage: str
    bytes: int
    bits_per_weight: float | None = None
    fidelity: Fidelity | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class NamedModifier:
    """A modifier's report under the name it is served by."""

    name: str
    report: ModifierReport


@dataclass(frozen=True, slots=True)
class NamedRouter:
    """A router's report under its component's name."""

    name: str
    report: RouterReport


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the system and its size in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Budget:
    """What the system weighs and what building it cost, against the recipe's limits (None: no limit)."""

    parts: Sequence[Part] = ()
    limit_bytes: int | None = None
    spent_usd: float = 0.0
    limit_usd: float | None = None


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything on the page."""

    name: str
    seed: int
    recipe: str
    stages: Sequence[StageRow] = ()
    data: Sequence[DataRow] = ()
    trainings: Sequence[Training] = ()
    compression: Sequence[CompressionRow] = ()
    fidelity_text: str = ""
    modifiers: Sequence[NamedModifier] = ()
    router: NamedRouter | None = None
    budget: Budget | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def to_json(data: ReportData) -> str:
    """`from_json` reads it back; the same data always gives the same text."""
    document = {"format": FORMAT, "version": VERSION, "report": _plain(data)}
    return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False) + "\n"


def from_json(text: str, where: str = "report.json") -> ReportData:
    """What `to_json` wrote. Raises InputError: damaged, or of another version; `where` goes into the message."""
    try:
        document = json.loads(text)
        if (document["format"], document["version"]) != (FORMAT, VERSION):
            message = f"{document['format']!r} version {document['version']!r} instead of {FORMAT!r} version {VERSION}"
            raise ValueError(message)
        report: ReportData = _typed(ReportData, document["report"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        message = f"{where}: not a report this version of cogumi-core can read ({exc}); run the recipe again to write it anew"
        raise InputError(message) from exc
    return report


def _plain(value: Any) -> JSON:
    """Dataclasses to objects; numbers that JSON has no word for (a loss that became nan) to their Python name."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    return [_plain(item) for item in value]


def _typed(kind: Any, value: Any) -> Any:
    """`value` as the annotation says: the inverse of `_plain`. Raises ValueError, TypeError, KeyError or AttributeError."""
    if kind is JSON:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _typed(arguments[0], value)
    if origin is tuple:
        return tuple(_typed(item, part) for item, part in zip(arguments, value, strict=True))
    if origin is Sequence:
        return tuple(_typed(arguments[0], item) for item in _a(list, value))
    if origin is Mapping:
        return {key: _typed(arguments[1], item) for key, item in _a(dict, value).items()}
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        make: Any = kind
        return make(**{name: _typed(hints[name], item) for name, item in _a(dict, value).items()})
    return float(value) if kind is float else _a(kind, value)


def _a(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        message = f"expected {kind.__name__}, found {type(value).__name__}"
        raise TypeError(message)
    return value
