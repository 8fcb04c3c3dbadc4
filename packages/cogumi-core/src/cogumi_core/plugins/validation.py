"""Checks what a person wrote against a settings model, and says what is wrong in words.

pydantic's own errors name its internal branches and its documentation; a recipe's author needs the path they wrote, the near
name and the bound. Used for `with:` in recipes, for the recipe's own header and for `Registry.create`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cogumi_core.plugins.near import did_you_mean

__all__ = ["Location", "Problem", "check", "dotted", "told"]

Location = tuple[str | int, ...]
"""Where in a recipe: `("compress", 1, "with", "target")`."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where; `line` where the place alone does not say it."""

    path: Location
    message: str
    line: int | None = None


def dotted(path: Location) -> str:
    """`compress[1].with.target`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def told(problem: Problem) -> str:
    """The problem as a line: where, if it has a place, and what."""
    return f"{dotted(problem.path)}: {problem.message}" if problem.path else problem.message


def check(model: type[Model], data: Mapping[str, Any], owner: str) -> tuple[Model | None, list[Problem]]:
    """(the settings, nothing) or (None, every problem). `owner` is what an unknown setting is unknown to: `'gguf'`."""
    try:
        return model.model_validate(dict(data)), []
    except ValidationError as exc:
        return None, _merge(_describe(model, data, error, owner) for error in exc.errors(include_url=False))


def _merge(problems: Iterable[Problem]) -> list[Problem]:
    """One problem a place. A union reports every branch: the branch that got furthest into the value is the one meant."""
    found = list(dict.fromkeys(problems))
    paths = {problem.path for problem in found}
    furthest = [problem for problem in found if not any(_inside(path, problem.path) for path in paths)]
    messages: dict[Location, list[str]] = {}
    for problem in furthest:
        messages.setdefault(problem.path, []).append(problem.message)
    return [Problem(path, "; or ".join(texts)) for path, texts in messages.items()]


def _inside(path: Location, outer: Location) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


def _describe(model: type[BaseModel], data: Any, error: ErrorDetails, owner: str) -> Problem:
    path = _written_path(data, error)
    return Problem(path, _message(model, path, error, owner))


def _written_path(data: Any, error: ErrorDetails) -> Location:
    """The error's location without the names of union branches, which nobody wrote."""
    path: list[str | int] = []
    for position, part in enumerate(error["loc"]):
        if _has(data, part):
            data = data[part]
            path.append(part)
        elif error["type"] == "missing" and position == len(error["loc"]) - 1:
            path.append(part)
    return tuple(path)


def _has(data: Any, part: str | int) -> bool:
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)


def _message(model: type[BaseModel], path: Location, error: ErrorDetails, owner: str) -> str:
    kind, value, context = error["type"], error.get("input"), error.get("ctx", {})
    if kind == "extra_forbidden":
        fields = _fields(model, path[:-1])
        known = "" if fields is None else did_you_mean(str(path[-1]), fields) or _settings_list(fields)
        return f"unknown setting of {owner}.{known}"
    if kind == "missing":
        return f"is required{_description(model, path)}"
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind].format(**_plain(context))}, not {_shown(value)}{_quote_hint(kind, value)}"
    if kind in {"literal_error", "enum"}:
        choices = str(context.get("expected", ""))
        return f"must be {choices}, not {_shown(value)}.{did_you_mean(str(value), _quoted(choices))}".rstrip(".")
    if kind == "value_error":
        return str(context["error"])
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}, not {_shown(value)}"


_EXPECTED = {
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "on or off",
    "bool_parsing": "on or off",
    "string_type": "text",
    "string_too_short": "at least {min_length} characters long",
    "string_too_long": "at most {max_length} characters long",
    "string_pattern_mismatch": "text of the form {pattern}",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping (name: value)",
    "model_type": "a mapping (name: value)",
    "model_attributes_type": "a mapping (name: value)",
    "too_short": "{min_length} or more items",
    "too_long": "{max_length} or fewer items",
    "path_type": "a path",
}


def _plain(bounds: Mapping[str, Any]) -> dict[str, Any]:
    """`0.0` is shown as `0`."""
    return {key: int(value) if isinstance(value, float) and value.is_integer() else value for key, value in bounds.items()}


def _quote_hint(kind: str, value: Any) -> str:
    return "; write it in quotes" if kind == "string_type" and isinstance(value, int | float) else ""


def _shown(value: Any) -> str:
    """The value as a person would write it, cut short."""
    text = {True: "on", False: "off", None: "nothing"}.get(value) if value is None or isinstance(value, bool) else None
    text = text or (f"'{value}'" if isinstance(value, str) else repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _quoted(choices: str) -> list[str]:
    """`'a', 'b' or 'c'` as names."""
    return choices.split("'")[1::2]


def _settings_list(fields: Sequence[str]) -> str:
    return f" Settings: {', '.join(sorted(fields))}" if fields else " It has no settings"


def _description(model: type[BaseModel], path: Location) -> str:
    owner = _model_at(model, path[:-1])
    found = owner.model_fields.get(str(path[-1])) if owner else None
    return f": {found.description}" if found is not None and found.description else ""


def _fields(model: type[BaseModel], path: Location) -> list[str] | None:
    owner = _model_at(model, path)
    return None if owner is None else [field.alias or name for name, field in owner.model_fields.items()]


def _model_at(model: type[BaseModel], path: Location) -> type[BaseModel] | None:
    """The nested settings model at `path`, found through annotations such as `LoraR | int | None` and `list[LoraR]`."""
    current: type[BaseModel] | None = model
    for part in path:
        if current is None:
            return None
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part)
        current = next(_models_in(field.annotation), None) if field is not None else None
    return current


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
