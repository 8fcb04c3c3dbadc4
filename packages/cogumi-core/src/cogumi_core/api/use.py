"""`Use[Kind]`: a component inside a component's settings.

    class JudgeSettings(Settings):
        judge: Use[Teacher] = Field(description="the teacher that judges")

A person writes it as in a section: `judge: {use: openai, with: {...}}`, or `judge: local` for its defaults. The recipe's parser
looks the name up and checks the settings, so that a mistake has its line; the component gets it made with
`services.make(settings.judge)`. Because it is part of the settings and not a name in a text, fingerprints, keys, extras,
forecasts and `doctor` see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_args

from pydantic_core import CoreSchema, PydanticCustomError, core_schema

if TYPE_CHECKING:
    from cogumi_core.api.component import Provided
    from cogumi_core.api.settings import Settings

Kind = TypeVar("Kind")
PROBLEM: Final = "use"  # pydantic's word for what is wrong


class Use(Generic[Kind]):
    """`kind` and `name` of the component and what was `given` as its settings. `provided` and `settings` (checked) are there
    once a registry has resolved it. No dataclass, because pydantic would look into it instead of asking."""

    __slots__ = ("given", "kind", "name", "provided", "settings")

    def __init__(
        self,
        kind: str,
        name: str,
        given: Mapping[str, Any] | None = None,
        provided: Provided | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.kind, self.name, self.given = kind, name, dict(given or {})
        self.provided, self.settings = provided, settings

    def __repr__(self) -> str:
        return f"Use({self.kind} {self.name}, {self.given})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Use) and (self.kind, written(self)) == (other.kind, written(other))

    def __hash__(self) -> int:
        return hash((self.kind, self.name))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        # Without its kind, where pydantic writes a default into a JSON schema.
        kind = next((protocol.__name__.lower() for protocol in get_args(source)), "")

        def read(value: object) -> Use[Any]:
            return _read(kind, value)

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(written)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        properties = {"use": {"type": "string"}, "with": {"type": "object"}}
        whole = {"type": "object", "properties": properties, "required": ["use"], "additionalProperties": False}
        return {"anyOf": [{"type": "string"}, whole]}


def _read(kind: str, value: object) -> Use[Any]:
    if isinstance(value, Use):
        if value.kind != kind:
            message = "must be a {kind}, not a {other}"
            raise PydanticCustomError(PROBLEM, message, {"kind": kind, "other": value.kind})
        return value
    if isinstance(value, str) and value:
        return Use(kind, value)
    if isinstance(value, Mapping) and isinstance(value.get("use"), str) and value["use"] and set(value) <= {"use", "with"}:
        given = value.get("with") or {}
        if isinstance(given, Mapping):
            return Use(kind, value["use"], dict(given))
    message = "must be the name of a {kind}, or a mapping of `use:` and `with:`"
    raise PydanticCustomError(PROBLEM, message, {"kind": kind})


def written(use: Use[Any]) -> dict[str, Any]:
    """As a person would write it, all settings filled in once they are known."""
    settings = dict(use.given) if use.settings is None else use.settings.model_dump(mode="json")
    return {"use": use.name, "with": settings}
