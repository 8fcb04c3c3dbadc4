"""Conversations as training rows: token for token what serving renders, and the answer that is learned.

Everything that decides what a model sees stands in `cogumi_core.formats`, where the server takes it from as well: how functions
are described, how a call is written, how the model's own chat template is run, and that text of special tokens in a *message*
stays plain text. Here it only becomes the ids of the student's tokenizer. The loss is on the last answer (`Example.answer`);
earlier turns of the assistant are context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cogumi_core import InputError, Message, Tool
from cogumi_core.formats.chat_template import ChatTemplate
from cogumi_core.formats.tools import asked

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE: Final = "QZX"  # an answer no chat template contains by itself


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """Token ids; the loss is on `answer_ids`, which end with the end of turn."""

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.answer_ids)


class RowEncoder:
    """Encodes conversations for one model. Raises EngineError: it has no chat template, or one that cannot be read."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._template = chat_template(tokenizer)
        self._end_of_turn = end_of_turn_id(tokenizer)
        bos = tokenizer.bos_token_id
        self._bos = [bos] if bos is not None and tokenizer.encode("")[:1] == [bos] else []

    def row(self, prompt: Sequence[Message], answer: str, tools: Sequence[Tool] = ()) -> TrainingRow:
        """The row for `answer`, whatever text it contains, to `prompt`. Raises EngineError: the template refuses the turns."""
        return TrainingRow(tuple(self.prompt(prompt, tools)), (*self._tokenize(answer, False), self._end_of_turn))

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        """What the model sees before it answers, up to where its turn begins. Raises EngineError."""
        ids = self._template.tokens(asked(messages, tools), self._tokenize)
        return ids if ids[: len(self._bos)] == self._bos else [*self._bos, *ids]

    def _tokenize(self, text: str, special: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not special)
        return ids


def chat_template(tokenizer: PreTrainedTokenizerBase) -> ChatTemplate:
    """The tokenizer's template, as the server runs it. Raises EngineError: none, or one that cannot be read."""
    source = tokenizer.chat_template
    if isinstance(source, Mapping):  # several named ones: the default is the one that talks
        source = source.get("default")
    specials = _special_tokens(tokenizer).values()
    return ChatTemplate(source or "", bos=tokenizer.bos_token or "", eos=tokenizer.eos_token or "", specials=specials)


def end_of_turn_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that ends an assistant's turn: the first special token that the chat template writes after an answer, otherwise
    the end-of-sequence token. Raises InputError when there is neither."""
    if tokenizer.chat_template:
        text = chat_template(tokenizer).text((Message("user", "?"), Message("assistant", _PROBE)))
        after = tokenizer.encode(text.rpartition(_PROBE)[2], add_special_tokens=False)
        special = _special_tokens(tokenizer)
        found = next((token for token in after if token in special), None)
        if found is not None:
            return int(found)
    if tokenizer.eos_token_id is None:
        message = "the tokenizer names no end-of-sequence token and its chat template ends turns with none; set eos_token"
        raise InputError(message)
    return int(tokenizer.eos_token_id)


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    return {index: token.content for index, token in tokenizer.added_tokens_decoder.items() if token.special}
