"""The source `jsonl`: prompts from a JSON Lines file, in the shapes that are about.

A row holds one question: `prompt`, `instruction` (with Alpaca's `input` appended) or `messages`; and at most one
answer: `reference`, `response`, `output` or a last message of the assistant. `id`, `domain`, `source`, `licence` and
`difficulty` are read from the row or from its `metadata`, so that a data set Cogumi wrote can be a source again. Other
fields are left behind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, get_args

from cogumi_core.api.errors import InputError
from cogumi_core.api.interfaces import Services
from cogumi_core.api.types import Message, Prompt, Role
from cogumi_core.formats.rows import read_rows, text_field
from cogumi_teachers.config import JsonlSettings

QUESTIONS: Final = ("prompt", "instruction", "messages")
ANSWERS: Final = ("reference", "response", "output")
ROLES: Final = get_args(Role)


class JsonlSource:
    """Streams; only the ids are held in memory, to find one that occurs twice."""

    def __init__(self, settings: JsonlSettings, services: Services) -> None:
        self._settings = settings
        self._services = services

    def prompts(self) -> Iterator[Prompt]:
        """The file's prompts, in order. Raises InputError naming file and line."""
        path = self._services.locate(self._settings.path)
        if path.is_dir():
            message = f"{path}: a JSON Lines file is expected, this is a folder; name the file in it"
            raise InputError(message)
        ids = _Ids(path)
        number = 0
        for number, row in islice(read_rows(path), self._settings.limit):
            yield self._prompt(row, path, number, ids)
        if not number:
            message = f"{path}: empty data set; each line must hold one prompt"
            raise InputError(message)

    def _prompt(self, row: Mapping[str, Any], path: Path, number: int, ids: _Ids) -> Prompt:
        where = f"{path}, line {number}"
        messages, reference = _conversation(row, where)
        metadata = row.get("metadata", {})
        if not isinstance(metadata, dict):
            message = f"{where}: 'metadata' must be an object"
            raise InputError(message)
        facts = {**metadata, **{key: row[key] for key in ("domain", "source", "licence", "difficulty") if key in row}}
        kept = {key: value for key, value in facts.items() if key not in ("domain", "source", "licence")}
        if "difficulty" in kept:
            text_field(kept, "difficulty", where)
        return Prompt(
            id=ids.take(row, messages, reference, number),
            messages=messages,
            domain=_fact(facts, "domain", self._settings.domain, where),
            source=_fact(facts, "source", self._settings.source, where),
            licence=_fact(facts, "licence", self._settings.licence, where),
            reference=reference,
            metadata=kept,
        )


class _Ids:
    """Ids of one file. A row without one gets a digest of its content, numbered where the same content comes again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, int] = {}

    def take(self, row: Mapping[str, Any], messages: tuple[Message, ...], reference: str | None, number: int) -> str:
        name = self._given(row, number) if "id" in row else self._derived(messages, reference)
        self._lines[name] = number
        return name

    def _given(self, row: Mapping[str, Any], number: int) -> str:
        value = row["id"]
        # Many data sets number their rows; a bool is an int to Python, and surely a mistake.
        name = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        name = text_field({"id": name}, "id", f"{self._path}, line {number}")
        if name in self._lines:
            message = f"{self._path}, line {number}: the id '{name}' is already on line {self._lines[name]}; ids must be unique"
            raise InputError(message)
        return name

    def _derived(self, messages: tuple[Message, ...], reference: str | None) -> str:
        content = json.dumps([[m.role, m.content] for m in messages] + [reference])
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        name, copy = digest, 1
        while name in self._lines:
            copy += 1
            name = f"{digest}-{copy}"
        return name


def _conversation(row: Mapping[str, Any], where: str) -> tuple[tuple[Message, ...], str | None]:
    question = _only(row, QUESTIONS, where)
    answer = _only(row, ANSWERS, where)
    if question is None:
        message = f"{where}: no prompt; a row needs 'prompt', 'instruction' or 'messages'"
        raise InputError(message)
    reference = None if answer is None else text_field(row, answer, where)
    if question != "messages":
        return (Message("user", _question(row, question, where)),), reference
    messages = _messages(row["messages"], where)
    if messages[-1].role == "assistant" and len(messages) > 1 and reference is None:
        return messages[:-1], messages[-1].content
    if messages[-1].role not in ("user", "tool"):
        message = f"{where}: the last of 'messages' must be the user's{', as the answer is given' if reference else ''}"
        raise InputError(message)
    return messages, reference


def _only(row: Mapping[str, Any], keys: tuple[str, ...], where: str) -> str | None:
    """The one key of `keys` that the row has; an answer that is null counts as absent."""
    found = [key for key in keys if row.get(key) is not None or (key in row and keys is QUESTIONS)]
    if len(found) > 1:
        message = f"{where}: has both '{found[0]}' and '{found[1]}'; keep one of them"
        raise InputError(message)
    return found[0] if found else None


def _question(row: Mapping[str, Any], key: str, where: str) -> str:
    text = text_field(row, key, where)
    extra = row.get("input") if key == "instruction" else None
    return f"{text}\n\n{text_field(row, 'input', where)}" if extra else text


def _messages(value: Any, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(turn, dict) for turn in value):
        message = f"{where}: 'messages' must be a list of objects with 'role' and 'content'"
        raise InputError(message)
    for position, turn in enumerate(value, start=1):
        if turn.get("role") not in ROLES:
            message = f"{where}: message {position} has the role {turn.get('role')!r}; it must be one of {', '.join(ROLES)}"
            raise InputError(message)
    return tuple(Message(turn["role"], text_field(turn, "content", f"{where}, message {n}")) for n, turn in enumerate(value, 1))


def _fact(facts: Mapping[str, Any], key: str, default: str, where: str) -> str:
    return text_field(facts, key, where) if facts.get(key) is not None else default
