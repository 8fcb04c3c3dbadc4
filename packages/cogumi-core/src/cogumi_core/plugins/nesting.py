"""Components inside settings: finding them, looking them up, and checking what they were given.

Settings are immutable, so resolving gives a copy in which every `Use` knows its component and its checked settings. What is not
named is filled in where a setting means the recipe's engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from pydantic import BaseModel

from cogumi_core.api.component import Provided
from cogumi_core.api.errors import ComponentConflict, PluginError, UnknownComponent
from cogumi_core.api.settings import Settings, is_engine_field
from cogumi_core.api.use import Use
from cogumi_core.plugins.validation import Location, Problem, check


def nested(value: object) -> Iterator[Use[Any]]:
    """Every component that `value` (settings) uses, at any depth, outer before inner."""
    if isinstance(value, Use):
        yield value
        yield from nested(value.settings)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from nested(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from nested(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from nested(item)


class Lookup(Protocol):
    """Where components are found: the registry, seen narrowly."""

    def get(self, kind: str, name: str) -> Provided: ...

    def settings_model(self, provided: Provided) -> type[Settings]: ...


class Resolver:
    """Resolves the settings of one recipe; `engine` stands where settings leave the engine to the recipe. `problems` collects
    what is wrong, each with its place."""

    def __init__(self, registry: Lookup, engine: Use[Any] | None) -> None:
        self.problems: list[Problem] = []
        self._registry = registry
        self._engine = engine

    def settings(self, provided: Provided, given: Mapping[str, Any], where: Location) -> Settings | None:
        """The component's settings, checked and resolved; None where they are wrong."""
        try:
            model = self._registry.settings_model(provided)
        except PluginError as exc:
            self.problems.append(Problem((*where[:-1], "use"), str(exc)))
            return None
        checked, problems = check(model, given, f"'{provided.component.name}'")
        self.problems += [Problem((*where, *problem.path), problem.message) for problem in problems]
        return None if checked is None else self._inside(checked, where)

    def use(self, use: Use[Any], where: Location) -> Use[Any]:
        """The `Use` with its component and settings, or as it was where they are wrong."""
        try:
            provided = self._registry.get(use.kind, use.name)
        except (UnknownComponent, ComponentConflict) as exc:
            self.problems.append(Problem(where, str(exc)))
            return use
        found = self.settings(provided, use.given, (*where, "with"))
        return Use(use.kind, use.name, use.given, provided, found)

    def _inside(self, value: Any, where: Location) -> Any:
        if isinstance(value, Use):
            return self.use(value, where)
        if isinstance(value, BaseModel):
            return self._fields(value, where)
        if isinstance(value, Mapping):
            return {key: self._inside(item, (*where, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._inside(item, (*where, index)) for index, item in enumerate(value))
        return value

    def _fields(self, model: BaseModel, where: Location) -> BaseModel:
        changed: dict[str, Any] = {}
        for name, field in type(model).model_fields.items():
            value = getattr(model, name)
            if value is None and is_engine_field(field):
                changed[name] = self._engine
            elif isinstance(value, Use | BaseModel | Mapping | list | tuple) and any(True for _ in nested_or_engine(value)):
                changed[name] = self._inside(value, (*where, name))
        return model.model_copy(update=changed) if changed else model


def nested_or_engine(value: object) -> Iterator[object]:
    """Something in `value` that resolving would change."""
    if isinstance(value, Use):
        yield value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            inner = getattr(value, name)
            if inner is None and is_engine_field(field):
                yield field
            yield from nested_or_engine(inner)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from nested_or_engine(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from nested_or_engine(item)
