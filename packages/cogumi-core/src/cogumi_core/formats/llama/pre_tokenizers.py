"""How text is cut before byte-level BPE: llama.cpp's names for it, and what they mean in Hugging Face's terms.

llama.cpp tokenises with its own code, chosen by the name of a pre-tokeniser in the file; a wrong name gives wrong ids and no
error. So a name is given only to what is known to be the same, and a tokenizer is built only from a name that is known.
Names are llama.cpp's (`src/llama-vocab.cpp`), as far as files of the Llama architecture carry them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

# The same contractions in two spellings: Hugging Face's files have either.
_CONTRACTIONS: Final = (r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)")
_WORDS: Final = r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST: Final = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3, _LLAMA3_SPELT = (f"{start}{_WORDS}\\p{{N}}{{1,3}}{_REST}" for start in _CONTRACTIONS)
_QWEN2, _QWEN2_SPELT = (f"{start}{_WORDS}\\p{{N}}{_REST}" for start in _CONTRACTIONS)
_SPELLINGS: Final = {_LLAMA3: _LLAMA3, _LLAMA3_SPELT: _LLAMA3, _QWEN2: _QWEN2, _QWEN2_SPELT: _QWEN2}


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """`pattern`: each match of this regular expression (Oniguruma's dialect) is a piece; None: of GPT-2's, which `ByteLevel`
    has built in. `digits_apart`: before that, each digit is cut off for itself. `whole_words`: a piece that is a token is taken
    as it is, whatever the merges would give (`ignore_merges`), and llama.cpp puts the begin token first unless the file says
    otherwise."""

    pattern: str | None = None
    digits_apart: bool = False
    whole_words: bool = False


PRE_TOKENIZERS: Final[Mapping[str, PreTokenizer]] = {
    **dict.fromkeys(("gpt-2", "olmo", "granite-docling", "trillion"), PreTokenizer()),
    **dict.fromkeys(("smollm", "starcoder", "refact", "codeshell", "minerva-7b", "exaone"), PreTokenizer(digits_apart=True)),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3"), PreTokenizer(_LLAMA3, whole_words=True)),
    **dict.fromkeys(("dbrx", "smaug-bpe"), PreTokenizer(_LLAMA3)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez", "stablelm2"), PreTokenizer(_QWEN2)),
}
"""llama.cpp's names; of those that mean the same, the first is the one to write."""


def pre_tokenizer_name(steps: Sequence[Mapping[str, Any]], *, ignore_merges: bool) -> str | None:
    """llama.cpp's name for the steps of a pre-tokeniser in a `tokenizer.json`; None where it has none that is the same."""
    found = _meaning(steps, ignore_merges)
    return next((name for name, meaning in PRE_TOKENIZERS.items() if meaning == found), None)


def _meaning(steps: Sequence[Mapping[str, Any]], ignore_merges: bool) -> PreTokenizer | None:
    match steps:
        case [{"type": "ByteLevel"} as last] if _plain(last, regex=True):
            return PreTokenizer(whole_words=ignore_merges)
        case [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel"} as last] if _plain(last, regex=True):
            return PreTokenizer(digits_apart=True, whole_words=ignore_merges)
        case [{"type": "Split", "behavior": "Isolated", "pattern": {"Regex": pattern}} as split, {"type": "ByteLevel"} as last]:
            if split.get("invert") or not _plain(last, regex=False) or pattern not in _SPELLINGS:
                return None
            return PreTokenizer(_SPELLINGS[pattern], whole_words=ignore_merges)
    return None


def _plain(step: Mapping[str, Any], *, regex: bool) -> bool:
    return bool(step.get("use_regex", True)) is regex and not step.get("add_prefix_space")
