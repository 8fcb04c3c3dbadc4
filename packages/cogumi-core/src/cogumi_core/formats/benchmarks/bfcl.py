"""Reads the single-call files of the Berkeley Function-Calling Leaderboard (BFCL v4, Apache-2.0).

The files describe functions in a dialect of JSON Schema (`dict`, `float`, `tuple`, `any`) and list, for each argument, every
value that is accepted; `""` among them means that the argument may be left out. Parallel and multi-turn rows, and the Java and
JavaScript dialects, are not read: their answers are not one JSON call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cogumi_core.api.errors import InputError
from cogumi_core.api.types import JSON, Message, Tool
from cogumi_core.formats.conversations import messages_from_rows
from cogumi_core.formats.rows import read_rows
from cogumi_core.formats.tools import format_call

LICENCE: Final = "Apache-2.0"
QUESTIONS: Final = "package:bfcl_eval/data/BFCL_v4_simple_python.json"
ANSWERS: Final = "package:bfcl_eval/data/possible_answer/BFCL_v4_simple_python.json"

_TYPES: Final = {"dict": "object", "float": "number", "tuple": "array"}
_STANDARD: Final = frozenset({"object", "number", "array", "string", "integer", "boolean", "null"})
_KEPT: Final = ("description", "enum", "default", "required")


@dataclass(frozen=True, slots=True)
class BfclRow:
    """One question and the calls that answer it.

    `tools` are `{"name", "description", "parameters"}` with standard JSON Schema. `accepted` is
    `{function: {argument: [accepted values]}}`; inside an accepted object every value is again a list of accepted values."""

    id: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    accepted: Mapping[str, Mapping[str, list[JSON]]]


def read_bfcl(questions: Path, answers: Path) -> Iterator[BfclRow]:
    """The rows of `questions`, in file order, with their accepted answers. Raises InputError naming file and line."""
    accepted = {row.get("id"): row.get("ground_truth") for _, row in read_rows(answers)}
    for number, row in read_rows(questions):
        where = f"{questions}, line {number}"
        try:
            yield _row(row, accepted, where)
        except (KeyError, TypeError, AttributeError) as exc:
            message = f"{where}: not a BFCL row ({type(exc).__name__}: {exc}); 'id', 'question' and 'function' are expected"
            raise InputError(message) from exc


def reference_call(row: BfclRow) -> str:
    """One correct call, the first accepted value of each argument. What may be left out is left out, unless the question
    names the value: guessing defaults cannot be learned, and costs tokens at every call."""
    name, arguments = next(iter(row.accepted.items()))
    required = next(tool for tool in row.tools if tool["name"] == name)["parameters"].get("required", ())
    said = row.messages[-1].content.casefold()
    chosen = {key: _first(values) for key, values in arguments.items() if key in required or _is_said(values, said)}
    return format_call(name, chosen)


def _is_said(values: list[JSON], said: str) -> bool:
    """Whether an optional argument belongs in the call: always where it cannot be left out, else where its value is named."""
    if values and "" not in values:
        return True
    return any(re.search(rf"(?<!\w){re.escape(str(value).casefold())}(?!\w)", said) for value in values if value != "")


def _first(values: JSON) -> JSON:
    """The first accepted value; the live files hold a few objects whose values are bare, not lists."""
    return _plain(next((value for value in values if value != ""), "") if isinstance(values, list) else values)


def _plain(value: JSON) -> JSON:
    """An accepted value without its inner lists of alternatives, which only objects have."""
    if isinstance(value, dict):
        return {key: _first(inner) for key, inner in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _row(row: Mapping[str, Any], accepted: Mapping[Any, Any], where: str) -> BfclRow:
    truth = accepted.get(row["id"])
    if not truth:
        message = f"{where}: no possible answer for '{row['id']}'; the answers must be those of the same BFCL file"
        raise InputError(message)
    if len(row["question"]) != 1 or len(truth) != 1:
        message = (
            f"{where}: '{row['id']}' needs {len(row['question'])} turns and {len(truth)} calls; only files with one call a row "
            "are read (simple_python, multiple, live_simple, live_multiple)"
        )
        raise InputError(message)
    messages = messages_from_rows(row["question"][0], f"{where}: 'question'")
    tools = tuple(_tool(function, where) for function in row["function"])
    if not {tool["name"] for tool in tools}.issuperset(truth[0]):
        message = f"{where}: the possible answer calls {sorted(truth[0])}, which the row does not describe"
        raise InputError(message)
    return BfclRow(row["id"], messages, tools, truth[0])


def _tool(function: Mapping[str, Any], where: str) -> dict[str, JSON]:
    return {
        "name": function["name"],
        "description": function.get("description", ""),
        "parameters": _schema(function["parameters"], where),
    }


def _schema(spec: Mapping[str, Any], where: str) -> dict[str, JSON]:
    """Standard JSON Schema. Objects whose properties are listed take no others: an unknown argument is a wrong call."""
    schema = {key: spec[key] for key in _KEPT if key in spec}
    kind = _TYPES.get(spec["type"], spec["type"])
    if kind in _STANDARD:
        schema["type"] = kind
    elif kind != "any":
        message = f"{where}: unknown type '{kind}'; only BFCL's Python and JSON-like types are read"
        raise InputError(message)
    if "properties" in spec:
        schema["properties"] = {name: _schema(inner, where) for name, inner in spec["properties"].items()}
        schema["additionalProperties"] = False
    if "items" in spec:
        schema["items"] = _schema(spec["items"], where)
    return schema
