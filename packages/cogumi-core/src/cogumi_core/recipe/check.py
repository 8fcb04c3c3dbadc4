"""What a recipe's parts must be to each other, beyond what each says on its own: combinations, order of stages, secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from cogumi_core.formats.names import given, needed
from cogumi_core.plugins.validation import Location, Problem

if TYPE_CHECKING:
    from cogumi_core.api.sections import Section
    from cogumi_core.plugins.registry import Registry
    from cogumi_core.recipe.form import Step

_OF_MODELS: Final = frozenset({"model", "runnable", "adapters", "router"})


def combinations(data: Mapping[str, Any], table: Mapping[str, Section]) -> Iterator[Problem]:
    """Sections that need or exclude each other. `data` holds the keys of the recipe that have a value."""
    has_data = "dataset" in data or "sources" in data
    if "dataset" in data:
        for name in {"sources", "distill"} & data.keys():
            yield Problem((name,), f"`dataset:` stands for `sources:` and `distill:`; remove it or `{name}:`")
    elif "sources" in data and "distill" not in data:
        yield Problem(("sources",), "nobody answers these prompts: add `distill:` with a teacher")
    elif "distill" in data and "sources" not in data:
        yield Problem(("distill",), "there are no prompts to answer: add `sources:`")
        has_data = True
    for section in table.values():
        if section.name in data and "dataset" in section.inputs and not has_data:
            yield Problem((section.name,), "there is no data to work on: add `dataset:`, or `sources:` and `distill:`")
    of_models = [name for name, section in table.items() if _OF_MODELS & {*section.inputs, *section.optional, section.gives}]
    for name in (*of_models, "measure"):
        if name in data and data[name] is not False and "student" not in data:
            yield Problem((name,), "there is no model to work on: add `student:`")
    if "student" not in data and not has_data:
        yield Problem((), "nothing to do: add `student:`, `dataset:` or `sources:`; see docs/recipes.md")


def student_format(student: str) -> str:
    """`gguf` for a file of that name, otherwise `hf`: a folder or an id."""
    return "gguf" if student.lower().endswith(".gguf") else "hf"


def order(
    student: str | None, table: Mapping[str, Section], drafts: Mapping[str, Sequence[Step | None]], registry: Registry
) -> Iterator[Problem]:
    """Stages that cannot take what the one before them gives. `drafts`: the steps by section, None for an unknown component,
    after which nothing is known about the format."""
    if student is None:
        return
    current, giver = student_format(student), "the student is"
    formats = {current}
    for name, section in table.items():
        for step in drafts[name]:
            if step is None and section.gives == "model":
                return
            if step is None:
                continue
            accepts = step.component.accepts
            if section.gives == "model":
                if accepts and current not in accepts:
                    message = f"stage '{step.component.name}' needs {needed(accepts)}, but {giver} {given(current)}"
                    yield Problem((*_place(step), "use"), message)
                    return
                current = step.component.produces or current
                formats.add(current)
                giver = f"'{step.component.name}' before it gives"
            elif accepts and step.kind != "engine" and not accepts & formats:
                message = f"stage '{step.component.name}' needs {needed(accepts)}, but no stage before it gives one"
                yield Problem((*_place(step), "use"), message + _remedy(accepts, registry))


def _remedy(accepts: frozenset[str], registry: Registry) -> str:
    """Which installed compressor would give one of the formats."""
    names = (name for name in registry.names("compressor") if registry.produces("compressor", name) in accepts)
    found = next(names, None)
    return f": add `- {{use: {found}}}` to `compress:`" if found else ""


def _place(step: Step) -> Location:
    return (step.section,) if step.index is None else (step.section, step.index)


# --- secrets ------------------------------------------------------------------------------------------------------------

_SECRET_KEY: Final = re.compile(
    r"(.*_)?(api_?key|secret|secret_?key|access_?key|password|passwd|access_?token|auth_?token|bearer_?token|hf_?token)", re.I
)
_SECRET_VALUE: Final = re.compile(r"(sk-|sk_|hf_|ghp_|gsk_|xai-|AIza|AKIA)[A-Za-z0-9_\-]{16,}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def secrets(data: Any, where: Location = ()) -> Iterator[Problem]:
    """Keys written into the recipe, which is copied into manifests and reports. The values are never repeated."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _secret(key, value, (*where, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from secrets(value, (*where, index))
    elif isinstance(data, str) and _SECRET_VALUE.fullmatch(data):
        yield Problem(where, "this looks like a key; keys are never read from recipes, put it into an environment variable")


def _secret(key: str, value: Any, where: Location) -> Iterator[Problem]:
    names_variable = key.lower().endswith("_env")
    if _SECRET_KEY.fullmatch(key) and isinstance(value, str | int | float) and not isinstance(value, bool):
        example = f"{key.upper()}" if "_" in key and key.lower() != "api_key" else "OPENAI_API_KEY"
        message = f"keys are never read from recipes: put it into an environment variable and write `{key}_env: {example}`"
        yield Problem(where, message)
    elif names_variable and isinstance(value, str) and (_SECRET_VALUE.fullmatch(value) or not _VARIABLE.fullmatch(value)):
        yield Problem(where, "must be the *name* of an environment variable, such as OPENAI_API_KEY, not the key itself")
    else:
        yield from secrets(value, where)
