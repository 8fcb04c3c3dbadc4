"""The Hugging Face tokenizer of a GGUF file, built from the file's own vocabulary, merges and pre-tokeniser name.

Serving tokenises with llama.cpp, so training must see exactly the same ids. transformers' own conversion of a GGUF ignores
`tokenizer.ggml.pre` (digits then stay together, and Llama 3 text splits wrongly) and swaps the begin and end tokens; this
builds the tokenizer directly instead. Only byte-level BPE with a known pre-tokeniser is built; anything else is refused,
because nearly right ids train a model that is quietly worse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from cogumi_core.api.errors import InputError

_CONTROL, _USER_DEFINED = 3, 4  # llama.cpp's token types that are matched whole before BPE
_LLAMA3 = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def _gpt2() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _digits_apart() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()])


def _split(pattern: str) -> Callable[[], pre_tokenizers.PreTokenizer]:
    def build() -> pre_tokenizers.PreTokenizer:
        pieces = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        return pre_tokenizers.Sequence([pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

    return build


# Names as llama.cpp knows them (src/llama-vocab.cpp); those that Llama-architecture files carry.
_PRE_TOKENIZERS: dict[str, Callable[[], pre_tokenizers.PreTokenizer]] = {
    **dict.fromkeys(("gpt-2", "olmo", "granite-docling", "trillion"), _gpt2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "codeshell", "minerva-7b", "exaone"), _digits_apart),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "smaug-bpe", "dbrx"), _split(_LLAMA3)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez", "stablelm2"), _split(_QWEN2)),
}
# These take a piece that is a whole token as it is, whatever the merges would give, and begin with the begin token unless the
# file says otherwise.
_LLAMA3_LIKE = frozenset({"llama-bpe", "llama3", "llama-v3", "falcon3"})


def build_tokenizer(metadata: Mapping[str, Any], where: str) -> PreTrainedTokenizerFast:
    """The tokenizer that `metadata` (a GGUF file's key-value pairs) describes. Raises InputError naming `where`."""
    pre = _pre_tokenizer_name(metadata, where)
    tokens: Sequence[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    backend = Tokenizer(BPE(vocabulary, merges, ignore_merges=pre in _LLAMA3_LIKE))
    backend.pre_tokenizer = _PRE_TOKENIZERS[pre]()
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(_added_tokens(tokens, metadata.get("tokenizer.ggml.token_type", ())))
    special = {
        name: tokens[metadata[f"tokenizer.ggml.{key}_token_id"]]
        for name, key in (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding"))
        if f"tokenizer.ggml.{key}_token_id" in metadata
    }
    if metadata.get("tokenizer.ggml.add_bos_token", pre in _LLAMA3_LIKE):
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


def _pre_tokenizer_name(metadata: Mapping[str, Any], where: str) -> str:
    kind, pre = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", "default")
    if kind == "gpt2" and pre in _PRE_TOKENIZERS:
        return str(pre)
    what = f"the pre-tokeniser '{pre}'" if kind == "gpt2" else f"a tokenizer of kind '{kind}'"
    message = (
        f"{where}: this GGUF has {what}, which cannot be rebuilt exactly for training; use the model's Hugging Face folder "
        f"instead (known pre-tokenisers: {', '.join(sorted(_PRE_TOKENIZERS))})"
    )
    raise InputError(message)


def _added_tokens(tokens: Sequence[str], types: Sequence[int]) -> list[AddedToken]:
    return [
        AddedToken(token, normalized=False, special=kind == _CONTROL)
        for token, kind in zip(tokens, types, strict=False)
        if kind in (_CONTROL, _USER_DEFINED)
    ]
