"""Dataclasses as plain values and back, for `report.json` and for the reports of components that manifests keep."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from cogumi_core.api.types import JSON

Value = TypeVar("Value")


def plain(value: Any) -> JSON:
    """Dataclasses to objects; numbers that JSON has no word for (a loss that became nan) to their Python name."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    return [plain(item) for item in value]


def typed(kind: Any, value: Any) -> Any:
    """`value` as the annotation says: the inverse of `plain`. Raises ValueError, TypeError, KeyError or AttributeError."""
    if kind is JSON:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else typed(arguments[0], value)
    if origin is tuple:
        return tuple(typed(item, part) for item, part in zip(arguments, value, strict=True))
    if origin is Sequence:
        return tuple(typed(arguments[0], item) for item in _a(list | tuple, value))
    if origin is Mapping:
        return {key: typed(arguments[1], item) for key, item in _a(dict, value).items()}
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        make: Any = kind
        return make(**{name: typed(hints[name], item) for name, item in _a(dict, value).items()})
    return float(value) if kind is float else _a(kind, value)


def _a(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        message = f"expected {getattr(kind, '__name__', kind)}, found {type(value).__name__}"
        raise TypeError(message)
    return value


def report_in(metrics: Mapping[str, JSON], kind: type[Value]) -> Value:
    """The report of a component (`kind` is its dataclass) among what else a manifest's metrics hold."""
    names = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    found: Value = typed(kind, {name: value for name, value in metrics.items() if name in names})
    return found
