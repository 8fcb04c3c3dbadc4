"""Turns messages into the text a model was trained on, with the chat template that its file carries.

The template comes with a model from anywhere, so it runs in a sandbox that can neither reach Python's internals nor change
what it is given. Special tokens that a *user* writes into a message stay plain text: only the template's own become tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cogumi_core.api.errors import EngineError
from cogumi_core.api.types import Message

# Stands in a rendered prompt for the text of one special token that a message contained: a number between two private-use
# characters.
_MARK = re.compile("\ue0f0([0-9]+)\ue0f1")


class ChatTemplate:
    """A compiled template. `specials` are the texts of the vocabulary's special tokens."""

    def __init__(self, source: str, *, bos: str, eos: str, specials: Iterable[str]) -> None:
        if not source.strip():
            message = "this model file has no chat template (tokenizer.chat_template); export it again with one"
            raise EngineError(message)
        texts = sorted((text for text in specials if text), key=len, reverse=True)
        self._specials = re.compile("|".join(map(re.escape, [*texts, "\ue0f0", "\ue0f1"])))
        self._variables = {"bos_token": bos, "eos_token": eos}
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateError as exc:
            message = f"the chat template of this model cannot be read: {exc}"
            raise EngineError(message) from exc

    def tokens(self, messages: Sequence[Message], tokenize: Callable[[str, bool], list[int]]) -> list[int]:
        """Token ids of the conversation, ready for the assistant's turn; `tokenize(text, special)`. Raises EngineError."""
        hidden: list[str] = []
        text = self._render([Message(message.role, self._hide(message.content, hidden)) for message in messages])
        # Odd pieces are the numbers of hidden texts.
        pieces = _MARK.split(text)
        return [
            token
            for index, piece in enumerate(pieces)
            for token in (tokenize(hidden[int(piece)], False) if index % 2 else tokenize(piece, True))
        ]

    def _hide(self, content: str, hidden: list[str]) -> str:
        def hide(found: re.Match[str]) -> str:
            hidden.append(found[0])
            return f"\ue0f0{len(hidden) - 1}\ue0f1"

        # Marks that a message brings along are hidden like special tokens, so that nobody can forge one.
        return self._specials.sub(hide, content)

    def _render(self, messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._template.render(messages=turns, add_generation_prompt=True, **self._variables)
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError) as exc:
            message = f"the chat template of this model refused the conversation: {exc}"
            raise EngineError(message) from exc


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.filters["tojson"] = _to_json
    return environment


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
