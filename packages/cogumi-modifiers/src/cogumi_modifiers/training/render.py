"""Messages as token ids, the same ids that serving computes from the exported file.

The chat template is the model's own. Text of special tokens that a *message* contains stays plain text, as in the server: a
user who writes an end-of-turn mark must not end a turn, neither there nor in training. Marks stand in for such text while
the template runs, and the pieces around them are tokenised on their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cogumi_core.api.errors import InputError
from cogumi_core.api.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE = "QZX"  # an answer no chat template contains by itself
_BEGIN, _END = "\ue0f0", "\ue0f1"  # private use: around the number of a text that was taken out
_MARK = re.compile(f"{_BEGIN}([0-9]+){_END}")


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """What the model sees before it answers. Raises InputError: no chat template."""
    if not tokenizer.chat_template:
        message = "the model has no chat template, so nobody can tell how it is asked; add one to its tokenizer"
        raise InputError(message)
    taken: list[str] = []
    turns = [{"role": message.role, "content": _take_out(tokenizer, message.content, taken)} for message in messages]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids: list[int] = []
    # Odd pieces are the numbers of the texts that were taken out.
    for index, piece in enumerate(_MARK.split(text)):
        ids += _plain(tokenizer, taken[int(piece)]) if index % 2 else tokenizer.encode(piece, add_special_tokens=False)
    bos = tokenizer.bos_token_id
    needed = bos is not None and ids[:1] != [bos] and tokenizer.encode("")[:1] == [bos]
    return [bos, *ids] if needed else ids


def answer_ids(tokenizer: PreTrainedTokenizerBase, answer: str) -> list[int]:
    """The answer as text, whatever it contains, and the end of turn."""
    return [*_plain(tokenizer, answer), end_of_turn_id(tokenizer)]


def end_of_turn_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that ends an assistant's turn: the first special token that the chat template writes after an answer, otherwise
    the end-of-sequence token. Raises InputError when there is neither."""
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _PROBE}]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        after = tokenizer.encode(text.rpartition(_PROBE)[2], add_special_tokens=False)
        special = _special_tokens(tokenizer)
        found = next((token for token in after if token in special), None)
        if found is not None:
            return int(found)
    if tokenizer.eos_token_id is None:
        message = "the tokenizer names no end-of-sequence token and its chat template ends turns with none; set eos_token"
        raise InputError(message)
    return int(tokenizer.eos_token_id)


def _plain(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return ids


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    return {index: token.content for index, token in tokenizer.added_tokens_decoder.items() if token.special}


def _take_out(tokenizer: PreTrainedTokenizerBase, content: str, taken: list[str]) -> str:
    def note(found: re.Match[str]) -> str:
        taken.append(found[0])
        return f"{_BEGIN}{len(taken) - 1}{_END}"

    # Longest first, so that one special token inside another does not break it; marks in a message are taken out as well.
    texts = [*sorted(_special_tokens(tokenizer).values(), key=len, reverse=True), _BEGIN, _END]
    return re.sub("|".join(map(re.escape, texts)), note, content)
