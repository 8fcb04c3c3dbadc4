"""Conversations as the text that a model was trained on: the chat template that its files carry.

One renderer for training, serving and calibration, so that all three see the same text: the same roles, the same template, the
same form of tools and calls. Templates come with models from anywhere, so they run in a sandbox that can neither reach
Python's internals nor change what it is given. What transformers' own renderer accepts is accepted here (Jinja's loop
controls, `tojson` with its arguments, `{% generation %}`). Text of special tokens that a *message* contains stays plain text:
only the template's own become tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from cogumi_core.api.errors import EngineError, MissingDependency
from cogumi_core.api.types import Message
from cogumi_core.formats.tools import as_plain_turns

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

# Stands in a rendered prompt for the text of one special token that a message contained: a number between two private-use
# characters.
_BEGIN, _END = "\ue0f0", "\ue0f1"
_MARK = re.compile(f"{_BEGIN}([0-9]+){_END}")


class ChatTemplate:
    """A compiled template. `specials` are the texts of the vocabulary's special tokens."""

    def __init__(self, source: str, *, bos: str, eos: str, specials: Iterable[str] = ()) -> None:
        if not source.strip():
            message = "the model has no chat template, so nobody can tell how it is asked; add one to its tokenizer"
            raise EngineError(message)
        texts = sorted((text for text in specials if text), key=len, reverse=True)
        self._specials = re.compile("|".join(map(re.escape, [*texts, _BEGIN, _END])))
        self._variables = {"bos_token": bos, "eos_token": eos}
        self._template = _compiled(source)

    def pieces(self, messages: Sequence[Message], *, answering: bool = True) -> list[tuple[str, bool]]:
        """(text, whether special tokens count in it), one after the other; `answering`: up to where the assistant's turn
        begins. Raises EngineError when the template refuses the conversation."""
        hidden: list[str] = []
        turns = [{"role": turn.role, "content": self._hide(turn.content, hidden)} for turn in as_plain_turns(messages)]
        text = self._render(turns, answering)
        # Odd pieces are the numbers of hidden texts.
        split = _MARK.split(text)
        return [(hidden[int(piece)], False) if index % 2 else (piece, True) for index, piece in enumerate(split)]

    def tokens(
        self, messages: Sequence[Message], tokenize: Callable[[str, bool], list[int]], *, answering: bool = True
    ) -> list[int]:
        """Token ids of the conversation; `tokenize(text, special)`. Raises EngineError."""
        return [token for text, special in self.pieces(messages, answering=answering) for token in tokenize(text, special)]

    def text(self, messages: Sequence[Message], *, answering: bool = False) -> str:
        """The conversation as one text. Raises EngineError."""
        return "".join(text for text, _ in self.pieces(messages, answering=answering))

    def _hide(self, content: str, hidden: list[str]) -> str:
        def hide(found: re.Match[str]) -> str:
            hidden.append(found[0])
            return f"{_BEGIN}{len(hidden) - 1}{_END}"

        # Marks that a message brings along are hidden like special tokens, so that nobody can forge one.
        return self._specials.sub(hide, content)

    def _render(self, turns: Sequence[dict[str, str]], answering: bool) -> str:
        import jinja2

        try:
            rendered: str = self._template.render(messages=turns, add_generation_prompt=answering, **self._variables)
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as exc:
            message = f"the chat template of this model refused the conversation: {exc}"
            raise EngineError(message) from exc
        return rendered


@lru_cache(maxsize=32)
def _compiled(source: str) -> Any:
    environment = _environment()
    import jinja2

    try:
        return environment.from_string(source)
    except (jinja2.TemplateError, RecursionError) as exc:
        message = f"the chat template of this model cannot be read: {exc}"
        raise EngineError(message) from exc


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    try:
        from jinja2.ext import Extension, loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as exc:
        message = "rendering a chat template needs Jinja: pip install jinja2"
        raise MissingDependency(message) from exc

    class Generation(Extension):
        """`{% generation %}` marks the assistant's text for training masks; what it holds is rendered as it is."""

        tags = {"generation"}  # noqa: RUF012 - Jinja's own attribute

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation])
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.filters["tojson"] = _to_json
    return environment


def _raise(message: str) -> NoReturn:
    import jinja2

    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
