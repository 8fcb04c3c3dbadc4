"""Conversations as JSON: OpenAI's form for what is written, and the forms that are about for what is read.

Read are OpenAI's `messages` (tool calls and results included), ShareGPT's `conversations` (`from`, `value`; calls are turns
from `function_call`) and Alpaca's `instruction`, `input`, `output`; `system` and `tools` beside them. Fields that are null
count as absent. What cannot be read is one InputError that names the place and the field.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from cogumi_core.api.errors import InputError
from cogumi_core.api.types import JSON, Message, Role, Tool, ToolCall

ROLES: Final = get_args(Role)
_SHAREGPT: Final = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "system": "system",
    "tool": "tool",
    "function_response": "tool",
    "observation": "tool",
    "developer": "system",
}


def message_row(message: Message) -> dict[str, JSON]:
    """One turn in OpenAI's form; what is empty is left out."""
    row: dict[str, JSON] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        row["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return row if message.tool_call_id is None else {**row, "tool_call_id": message.tool_call_id}


def messages_from_rows(rows: object, where: str) -> tuple[Message, ...]:
    """Turns in OpenAI's or ShareGPT's form. `where` (file, line, field) goes into the message of an InputError."""
    if not isinstance(rows, list) or not rows:
        message = f"{where} must be a list of at least one turn"
        raise InputError(message)
    return tuple(_turn(row, f"{where}[{index}]") for index, row in enumerate(rows))


def _turn(row: object, where: str) -> Message:
    if not isinstance(row, Mapping):
        message = f'{where} must be an object such as {{"role": "user", "content": "..."}}'
        raise InputError(message)
    if "from" in row and "role" not in row:
        return _sharegpt_turn(row, where)
    role = _role("system" if row.get("role") == "developer" else row.get("role"), where)
    calls = tuple(_call(call, f"{where}.tool_calls[{i}]") for i, call in enumerate(row.get("tool_calls") or ()))
    content = row.get("content")
    if content is None and not calls:
        message = f"{where}.content is missing; a turn holds text, or calls of functions"
        raise InputError(message)
    name = row.get("tool_call_id")
    return Message(role, _content(content or "", where), calls, str(name) if name is not None else None)


def _sharegpt_turn(row: Mapping[str, Any], where: str) -> Message:
    if row["from"] == "function_call":
        place = f"{where}.value"
        return Message("assistant", "", (_call(_parsed(row.get("value"), place), place),))
    return Message(_role(_SHAREGPT.get(str(row["from"]).lower(), row["from"]), where), _content(row.get("value"), where))


def _parsed(value: object, where: str) -> object:
    """What ShareGPT keeps as JSON in a text: calls, and functions."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as exc:
        message = f"{where} is not valid JSON ({exc or 'nested too deeply'})"
        raise InputError(message) from exc


def _role(role: object, where: str) -> Role:
    if role not in ROLES:
        message = f"{where} has the role {role!r}; the roles are {', '.join(ROLES)}"
        raise InputError(message)
    return role  # type: ignore[return-value]


def _content(content: object, where: str) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content):
        return "".join(part["text"] for part in content)
    message = f"{where}.content must be text, or a list of text parts, not {type(content).__name__}"
    raise InputError(message)


def _call(call: object, where: str) -> ToolCall:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping) or not isinstance(name, str) or not name:
        message = f'{where} must be {{"function": {{"name", "arguments"}}}}'
        raise InputError(message)
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return ToolCall(name, text or "{}", str(call.get("id") or ""))


def tools_from_rows(rows: object, where: str) -> tuple[Tool, ...]:
    """Functions in OpenAI's form, with or without the outer `{"type": "function", "function": ...}`; also as a JSON text."""
    if rows is None or rows == "":
        return ()
    rows = _parsed(rows, where)
    if not isinstance(rows, list):
        message = f"{where} must be a list of functions"
        raise InputError(message)
    return tuple(_tool(row, f"{where}[{index}]") for index, row in enumerate(rows))


def _tool(row: object, where: str) -> Tool:
    function = row.get("function", row) if isinstance(row, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        message = f'{where} must be {{"name", "description", "parameters"}}'
        raise InputError(message)
    return dict(function)


def conversation(
    row: Mapping[str, Any], where: str, questions: Iterable[str] = ("instruction", "prompt")
) -> tuple[Message, ...]:
    """The turns of a row, its answer among them where it has one, in whichever layout it is."""
    system = [Message("system", row["system"])] if isinstance(row.get("system"), str) and row["system"].strip() else []
    for key in ("messages", "conversations", "conversation"):
        if row.get(key) is not None:
            turns = messages_from_rows(row[key], f"{where}: '{key}'")
            return turns if turns[0].role == "system" else (*system, *turns)
    question = next((row[key] for key in questions if isinstance(row.get(key), str) and row[key].strip()), None)
    if question is None:
        names = ", ".join(f"'{key}'" for key in (*questions, "messages", "conversations"))
        message = f"{where}: no question; one of {names} is expected as non-empty text"
        raise InputError(message)
    more = [row[key] for key in ("input", "context") if isinstance(row.get(key), str) and row[key].strip()]
    return (*system, Message("user", "\n\n".join([question, *more])))
