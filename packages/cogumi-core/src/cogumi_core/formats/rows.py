"""JSON Lines rows and the values they stand for.

The standard form of an example is `{"id", "instruction", "response", "metadata"}`. Reading streams; a bad row is an
InputError that names the file and line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cogumi_core.api.errors import InputError
from cogumi_core.api.types import JSON, Example, Message, Prompt, RouteExample


def dump_line(row: Mapping[str, JSON]) -> str:
    """One line of JSON, newline included; the same row always gives the same text."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row) for every non-blank line. Raises InputError naming file and line."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _parse(path, number, line)
    except UnicodeDecodeError as exc:
        message = f"{path}: not a text file in UTF-8 ({exc.reason} at byte {exc.start}); JSON Lines is expected"
        raise InputError(message) from exc


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as exc:
        message = f"{path}, line {number}: not valid JSON ({exc.msg}, column {exc.colno})"
        raise InputError(message) from exc
    if not isinstance(row, dict):
        message = f"{path}, line {number}: each line must be a JSON object, this is {type(row).__name__}"
        raise InputError(message)
    return row


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
    """The standard form."""
    return {
        "id": example.id,
        "instruction": example.instruction,
        "response": example.response,
        "metadata": dict(example.metadata),
    }


def example_from_row(row: Mapping[str, JSON], where: str) -> Example:
    """Reads the standard form; `where` (file and line) goes into the message of an InputError."""
    metadata = row.get("metadata", {})
    if not isinstance(metadata, dict):
        message = f"{where}: 'metadata' must be an object"
        raise InputError(message)
    instruction, response = (text_field(row, key, where) for key in ("instruction", "response"))
    return Example(text_field(row, "id", where), instruction, response, metadata)


def prompt_row(prompt: Prompt) -> dict[str, JSON]:
    """A prompt as a row; `prompt_from_row` reads it back."""
    return {**asdict(prompt), "metadata": dict(prompt.metadata)}


def prompt_from_row(row: Mapping[str, JSON]) -> Prompt:
    """What `prompt_row` wrote."""
    return Prompt(**{**row, "messages": _messages(row["messages"])})


def route_example_row(example: RouteExample) -> dict[str, JSON]:
    """A routing outcome as a row; `route_example_from_row` reads it back."""
    return {**asdict(example), "logprobs": [round(value, 6) for value in example.logprobs]}


def route_example_from_row(row: Mapping[str, JSON]) -> RouteExample:
    """What `route_example_row` wrote."""
    return RouteExample(**{**row, "messages": _messages(row["messages"]), "logprobs": tuple(row["logprobs"])})


def _messages(rows: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    return tuple(Message(row["role"], row["content"]) for row in rows)
