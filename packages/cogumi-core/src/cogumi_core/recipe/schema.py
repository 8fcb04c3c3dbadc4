"""JSON Schema of a recipe for the plugins installed now, for editors.

Made from the same models that check a recipe. Each section is a `oneOf` over the installed components, told apart by the
constant in `use`; that union exists only here, because checking with it would give messages about branches nobody wrote.
"""

from __future__ import annotations

from typing import Any

from cogumi_core.api.component import Provided
from cogumi_core.api.errors import PluginError
from cogumi_core.api.sections import Section
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.form import Header
from cogumi_core.recipe.sections import sections

__all__ = ["json_schema"]

_SHARE = {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "description": "part of the prompts this teacher answers"}


def json_schema(registry: Registry) -> dict[str, Any]:
    """The schema, in JSON Schema 2020-12. Components in conflict, or whose settings do not load, are left out."""
    schema = Header.model_json_schema(ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    for section in sections(registry.host.sections).values():
        found = [(kind, name) for kind in section.kinds for name in registry.names(kind)]
        steps = [step for kind, name in found if (step := _step(registry, section, kind, name, definitions)) is not None]
        one = {"oneOf": steps} if steps else {"not": {}, "description": f"no {' or '.join(section.kinds)} is installed"}
        schema["properties"][section.name] = {"type": "array", "items": one} if section.many else one
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Cogumi recipe"}


def _step(registry: Registry, section: Section, kind: str, name: str, definitions: dict[str, Any]) -> dict[str, Any] | None:
    found = [item for item in registry.host.provided if (item.component.kind, item.component.name) == (kind, name)]
    if len(found) != 1:
        return None
    try:
        settings = _settings(registry, found[0], definitions)
    except PluginError:
        return None
    properties: dict[str, Any] = {"use": {"const": name, "description": found[0].component.summary}, "with": settings}
    if section.shares:
        properties["share"] = _SHARE
    required = ["use", "with"] if settings.get("required") else ["use"]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _settings(registry: Registry, provided: Provided, definitions: dict[str, Any]) -> dict[str, Any]:
    """The settings' schema; its definitions move to the root, under names that no other component has."""
    prefix = f"{provided.component.kind}.{provided.component.name}"
    model = registry.settings_model(provided)
    schema = model.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
    for name, definition in schema.pop("$defs", {}).items():
        definitions[f"{prefix}.{name}"] = definition
    return schema
