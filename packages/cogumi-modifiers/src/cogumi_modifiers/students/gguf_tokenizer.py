"""The Hugging Face tokenizer of a GGUF file, built from the file's own vocabulary, merges and pre-tokeniser name.

Serving tokenises with llama.cpp, so training must see exactly the same ids. transformers' own conversion of a GGUF ignores
`tokenizer.ggml.pre` (digits then stay together, and Llama 3 text splits wrongly) and swaps the begin and end tokens; this
builds the tokenizer directly instead. Only byte-level BPE with a known pre-tokeniser is built; anything else is refused,
because nearly right ids train a model that is quietly worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from cogumi_core import InputError
from cogumi_core.formats.llama.pre_tokenizers import PRE_TOKENIZERS, PreTokenizer

_CONTROL, _USER_DEFINED = 3, 4  # llama.cpp's token types that are matched whole before BPE


def build_tokenizer(metadata: Mapping[str, Any], where: str) -> PreTrainedTokenizerFast:
    """The tokenizer that `metadata` (a GGUF file's key-value pairs) describes. Raises InputError naming `where`."""
    pre = _pre_tokenizer(metadata, where)
    tokens: Sequence[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    backend = Tokenizer(BPE(vocabulary, merges, ignore_merges=pre.whole_words))
    backend.pre_tokenizer = _steps(pre)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(_added_tokens(tokens, metadata.get("tokenizer.ggml.token_type", ())))
    special = {
        name: tokens[metadata[f"tokenizer.ggml.{key}_token_id"]]
        for name, key in (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding"))
        if f"tokenizer.ggml.{key}_token_id" in metadata
    }
    if metadata.get("tokenizer.ggml.add_bos_token", pre.whole_words):
        begin = special["bos_token"]
        pieces = (f"{begin} $A", f"{begin} $A {begin} $B:1")
        backend.post_processor = processors.TemplateProcessing(*pieces, [(begin, vocabulary[begin])])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        model_max_length=metadata.get("llama.context_length"),
        **special,
    )
    tokenizer.chat_template = metadata.get("tokenizer.chat_template")
    return tokenizer


def _pre_tokenizer(metadata: Mapping[str, Any], where: str) -> PreTokenizer:
    kind, pre = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", "default")
    if kind == "gpt2" and pre in PRE_TOKENIZERS:
        return PRE_TOKENIZERS[pre]
    what = f"the pre-tokeniser '{pre}'" if kind == "gpt2" else f"a tokenizer of kind '{kind}'"
    message = (
        f"{where}: this GGUF has {what}, which cannot be rebuilt exactly for training; use the model's Hugging Face folder "
        f"instead (known pre-tokenisers: {', '.join(sorted(PRE_TOKENIZERS))})"
    )
    raise InputError(message)


def _steps(pre: PreTokenizer) -> pre_tokenizers.PreTokenizer:
    if pre.pattern is not None:
        pieces = pre_tokenizers.Split(Regex(pre.pattern), behavior="isolated")
        return pre_tokenizers.Sequence([pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if not pre.digits_apart:
        return byte_level
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])


def _added_tokens(tokens: Sequence[str], types: Sequence[int]) -> list[AddedToken]:
    return [
        AddedToken(token, normalized=False, special=kind == _CONTROL)
        for token, kind in zip(tokens, types, strict=False)
        if kind in (_CONTROL, _USER_DEFINED)
    ]
