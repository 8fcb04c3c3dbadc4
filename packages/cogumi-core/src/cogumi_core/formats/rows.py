"""JSON Lines rows and the values they stand for.

The standard form of an example is `{"id", "instruction", "response", "metadata"}`, with `messages` where it is a longer
conversation. Reading streams; a bad row is an
InputError that names the file and line.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from cogumi_core.api.errors import InputError
from cogumi_core.api.types import JSON, Example, Message, Prompt, RouteExample
from cogumi_core.formats.conversations import conversation, message_row, messages_from_rows, tools_from_rows


def dump_line(row: Mapping[str, JSON]) -> str:
    """One line of JSON, newline included; the same row always gives the same text."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def read_rows(path: Path, *, start: int = 0, first: int = 1) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, row) for every non-blank line, from byte `start` on, where line number `first` begins. A byte order mark at
    the beginning of the file is no part of it. Raises InputError naming file and line."""
    with path.open("rb") as lines:
        lines.seek(start)
        for number, raw in enumerate(lines, start=first):
            line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
            if line.strip():
                yield number, parse_row(line, f"{path}, line {number}")


def parse_row(line: bytes, where: str) -> dict[str, Any]:
    """The object on one line of JSON Lines. Raises InputError that begins with `where` (file and line)."""
    try:
        row = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as exc:
        message = f"{where}: not text in UTF-8 ({exc.reason} at byte {exc.start} of the line); JSON Lines is expected"
        raise InputError(message) from exc
    except json.JSONDecodeError as exc:
        message = f"{where}: not valid JSON ({exc.msg}, column {exc.colno})"
        raise InputError(message) from exc
    except (ValueError, RecursionError) as exc:
        message = f"{where}: not JSON that can be read ({exc or 'nested too deeply'})"
        raise InputError(message) from exc
    if not isinstance(row, dict):
        message = f"{where}: each line must be a JSON object, this is {type(row).__name__}"
        raise InputError(message)
    return row


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is no JSON number"
    raise ValueError(message)


def write_rows(path: Path, rows: Iterable[Mapping[str, JSON]]) -> int:
    """Writes one line a row and returns how many."""
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(dump_line(row))
            count += 1
    return count


def text_field(row: Mapping[str, JSON], key: str, where: str) -> str:
    """`row[key]` as non-blank text. Raises InputError."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        found = "is missing" if key not in row else f"is {json.dumps(value, ensure_ascii=False)[:60]}"
        message = f"{where}: '{key}' {found}; every row needs it as non-empty text"
        raise InputError(message)
    return value


def example_row(example: Example) -> dict[str, JSON]:
    """The standard form: `instruction` and `response` as texts, for people and for other programs, and the conversation itself
    where it is more than one question and one answer."""
    row: dict[str, JSON] = {
        "id": example.id,
        "instruction": example.instruction,
        "response": example.response,
        "metadata": dict(example.metadata),
    }
    if not _is_plain(example):
        row["messages"] = [message_row(message) for message in example.messages]
    return {**row, "tools": [dict(tool) for tool in example.tools]} if example.tools else row


def _is_plain(example: Example) -> bool:
    """Whether instruction and response say everything."""
    question = [message for message in example.prompt if message.role == "user" and not message.tool_calls]
    return len(example.messages) == 2 and len(question) == 1 and not example.answer.tool_calls


def example_from_row(row: Mapping[str, JSON], where: str) -> Example:
    """Reads the standard form, and the layouts of `formats.conversations`; `where` (file and line) goes into the message of an
    InputError."""
    metadata = row.get("metadata") or {}
    if not isinstance(metadata, dict):
        message = f"{where}: 'metadata' must be an object"
        raise InputError(message)
    messages = conversation(row, where)
    if messages[-1].role != "assistant":
        answer = next((row[key] for key in ("response", "output") if row.get(key) is not None), None)
        if not isinstance(answer, str) or not answer.strip():
            message = f"{where}: no answer; 'response' or 'output', or a last turn of the assistant, is expected"
            raise InputError(message)
        messages = (*messages, Message("assistant", answer))
    if len(messages) < 2:
        message = f"{where}: a row needs a question before its answer"
        raise InputError(message)
    return Example(text_field(row, "id", where), messages, metadata, tools_from_rows(row.get("tools"), f"{where}: 'tools'"))


def prompt_row(prompt: Prompt) -> dict[str, JSON]:
    """A prompt as a row; `prompt_from_row` reads it back."""
    row = {**asdict(prompt), "metadata": dict(prompt.metadata), "messages": [message_row(turn) for turn in prompt.messages]}
    tools = [dict(tool) for tool in row.pop("tools")]
    return {**row, "tools": tools} if tools else row


def prompt_from_row(row: Mapping[str, JSON]) -> Prompt:
    """What `prompt_row` wrote."""
    tools = tools_from_rows(row.get("tools"), "tools")
    return Prompt(**{**row, "messages": messages_from_rows(row["messages"], "messages"), "tools": tools})


def route_example_row(example: RouteExample) -> dict[str, JSON]:
    """A routing outcome as a row; `route_example_from_row` reads it back."""
    messages = [message_row(message) for message in example.messages]
    return {**asdict(example), "messages": messages, "logprobs": [round(value, 6) for value in example.logprobs]}


def route_example_from_row(row: Mapping[str, JSON]) -> RouteExample:
    """What `route_example_row` wrote."""
    messages = messages_from_rows(row["messages"], "messages")
    return RouteExample(**{**row, "messages": messages, "logprobs": tuple(row["logprobs"])})
