"""Tool calls as text: how functions are described to a small model, and how its call is read back.

Many small models have no tool format of their own. This one form is used by benchmarks that train and grade, and by the server
that answers, so that a model is served exactly what it was trained on. A call is one JSON object,
`{"name": ..., "arguments": {...}}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cogumi_core.api.types import JSON, Message

INSTRUCTION = 'Call one of these functions. Answer only with JSON: {"name": ..., "arguments": {...}}'


def describe_tools(tools: Sequence[Mapping[str, JSON]]) -> str:
    """The system text for OpenAI-style function descriptions (`{"name", "description", "parameters"}`), kept short because
    every prompt token is paid for at each request."""
    lines = [INSTRUCTION]
    for tool in tools:
        properties: Mapping[str, Any] = tool.get("parameters", {}).get("properties", {})
        required = set(tool.get("parameters", {}).get("required", ()))
        lines.append(f"{tool['name']}: {tool.get('description', '')}".strip())
        lines += [_describe(name, spec, name in required) for name, spec in properties.items()]
    return "\n".join(lines)


def _describe(name: str, spec: Mapping[str, Any], required: bool) -> str:
    mark = "" if required else ", optional"
    choices = f" one of {json.dumps(spec['enum'], ensure_ascii=False)}" if "enum" in spec else ""
    return f"- {name} ({spec.get('type', 'any')}{mark}): {spec.get('description', '')}{choices}".rstrip()


def with_tools(messages: Sequence[Message], tools: Sequence[Mapping[str, JSON]]) -> tuple[Message, ...]:
    """The messages with the functions described in the system turn (added to one that is there)."""
    text = describe_tools(tools)
    if messages and messages[0].role == "system":
        return (Message("system", f"{messages[0].content}\n\n{text}"), *messages[1:])
    return (Message("system", text), *messages)


def as_plain_turns(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation as chat templates of small models know it: roles and text. Calls in an assistant's turn become their
    JSON."""
    return tuple(Message(turn.role, turn.text) if turn.tool_calls else turn for turn in messages)


def asked(messages: Sequence[Message], tools: Sequence[Mapping[str, JSON]]) -> tuple[Message, ...]:
    """What a model is shown of a conversation with `tools` at hand: in training exactly as when it is served."""
    return as_plain_turns(with_tools(messages, tools) if tools else messages)


def call_schema(tools: Sequence[Mapping[str, JSON]]) -> dict[str, JSON]:
    """JSON Schema of one call of one of `tools`."""
    calls = [_one_call(tool) for tool in tools]
    return calls[0] if len(calls) == 1 else {"oneOf": calls}


def _one_call(tool: Mapping[str, JSON]) -> dict[str, JSON]:
    return {
        "type": "object",
        "properties": {
            "name": {"const": tool["name"]},
            "arguments": tool.get("parameters") or {"type": "object", "properties": {}},
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def format_call(name: str, arguments: Mapping[str, JSON]) -> str:
    """The text of a call, as models are trained to write it."""
    return json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)


def parse_call(text: str) -> tuple[str, dict[str, Any]] | None:
    """(name, arguments) if `text` is one call and nothing else, None otherwise."""
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):  # ValueError: also integers of more digits than Python converts
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str) or not isinstance(call.get("arguments"), dict):
        return None
    return call["name"], call["arguments"]
