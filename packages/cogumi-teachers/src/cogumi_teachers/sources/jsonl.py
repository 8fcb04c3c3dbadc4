"""The source `jsonl`: prompts from a JSON Lines file, in the layouts that are about.

A row holds one conversation: OpenAI's `messages`, ShareGPT's `conversations`, or Alpaca's `instruction` (or `prompt`) with its
`input`; `system` and `tools` may stand beside it. Its answer is a last turn of the assistant, or `reference`, `response` or
`output`. `id`, `domain`, `source`, `licence` and `difficulty` are read from the row or from its `metadata`, so that a data set
Cogumi wrote can be a source again. Other fields are left behind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from cogumi_core import InputError, Message, Prompt, RunContext, Services
from cogumi_core.formats.conversations import conversation, tools_from_rows
from cogumi_core.formats.rows import read_rows, text_field
from cogumi_teachers.sources.settings import JsonlSettings

QUESTIONS: Final = ("prompt", "instruction")
TURNS: Final = ("messages", "conversations", "conversation")
ANSWERS: Final = ("reference", "response", "output")
FACTS: Final = ("domain", "source", "licence")


class JsonlSource:
    """Streams; only the ids are held in memory, to find one that occurs twice."""

    def __init__(self, settings: JsonlSettings, services: Services) -> None:
        self._settings = settings

    def prompts(self, run: RunContext) -> Iterator[Prompt]:
        """The file's prompts, in order. Raises InputError naming file and line."""
        path = run.services.locate(self._settings.path)
        if path.is_dir():
            message = f"{path}: a JSON Lines file is expected, this is a folder; name the file in it"
            raise InputError(message)
        ids = _Ids(path)
        number = 0
        for number, row in islice(read_rows(path), self._settings.limit):
            yield self._prompt(row, number, ids, f"{path}, line {number}")
        if not number:
            message = f"{path}: empty data set; each line must hold one prompt"
            raise InputError(message)

    def _prompt(self, row: Mapping[str, Any], number: int, ids: _Ids, where: str) -> Prompt:
        messages, reference = question_and_answer(row, where)
        metadata = {} if row.get("metadata") is None else row["metadata"]
        if not isinstance(metadata, dict):
            message = f"{where}: 'metadata' must be an object"
            raise InputError(message)
        said = {**metadata, **{key: row[key] for key in (*FACTS, "difficulty") if row.get(key) is not None}}
        facts = {key: said[key] for key in FACTS if said.get(key) is not None}
        if "difficulty" in said:
            text_field(said, "difficulty", where)
        defaults = {key: getattr(self._settings, key) for key in FACTS}
        return Prompt(
            id=ids.take(row, messages, reference, number),
            messages=messages,
            **{**defaults, **{key: text_field(facts, key, where) for key in facts}},
            reference=reference,
            metadata={key: value for key, value in said.items() if key not in FACTS},
            tools=tools_from_rows(row.get("tools"), f"{where}: 'tools'"),
        )


def question_and_answer(row: Mapping[str, Any], where: str) -> tuple[tuple[Message, ...], str | None]:
    """(the turns before the answer, the answer where there is one). Raises InputError, also for a row with two questions or two
    different answers, of which nobody can tell which was meant."""
    if not any(row.get(key) is not None for key in TURNS):
        _at_most_one(row, QUESTIONS, where)
    messages = conversation(row, where, QUESTIONS)
    given = _at_most_one(row, ANSWERS, where)
    answer = None if given is None else text_field(row, given, where)
    if messages[-1].role == "assistant" and len(messages) > 1:
        *before, last = messages
        if answer is not None and answer != last.text:  # in the standard form both are there, and the same
            message = f"{where}: the last turn is an answer, and '{given}' is another; keep one of them"
            raise InputError(message)
        messages, answer = tuple(before), last.text
        if not answer.strip():
            message = f"{where}: the last turn of the assistant is empty; write its answer, or leave it out"
            raise InputError(message)
    if messages[-1].role not in ("user", "tool") or not messages[-1].content.strip():
        message = f"{where}: the last turn before the answer must be the user's, or a tool's result, and not empty"
        raise InputError(message)
    return messages, answer


def _at_most_one(row: Mapping[str, Any], keys: tuple[str, ...], where: str) -> str | None:
    """The one key of `keys` that the row has; one that is null counts as absent."""
    found = [key for key in keys if row.get(key) is not None]
    if len(found) > 1:
        message = f"{where}: has both '{found[0]}' and '{found[1]}'; keep one of them"
        raise InputError(message)
    return found[0] if found else None


class _Ids:
    """Ids of one file. A row without one gets a digest of its content, numbered where the same content comes again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, int] = {}

    def take(self, row: Mapping[str, Any], messages: tuple[Message, ...], reference: str | None, number: int) -> str:
        name = self._given(row["id"], number) if row.get("id") is not None else self._derived(messages, reference)
        self._lines[name] = number
        return name

    def _given(self, value: object, number: int) -> str:
        # Many data sets number their rows; a bool is an int to Python, and surely a mistake.
        name = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        name = text_field({"id": name}, "id", f"{self._path}, line {number}")
        if name in self._lines:
            message = f"{self._path}, line {number}: the id '{name}' is already on line {self._lines[name]}; ids must be unique"
            raise InputError(message)
        return name

    def _derived(self, messages: tuple[Message, ...], reference: str | None) -> str:
        content = json.dumps([[turn.role, turn.text] for turn in messages] + [reference])
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        name, copy = digest, 1
        while name in self._lines:
            copy += 1
            name = f"{digest}-{copy}"
        return name
