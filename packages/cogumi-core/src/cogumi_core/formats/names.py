"""Model formats in words, for messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_WORDS: Final = {"hf": ("a Hugging Face model", "a Hugging Face model"), "gguf": ("a GGUF model", "GGUF")}
"""Format to what a stage needs, and to what a stage gives."""


def needed(formats: Iterable[str]) -> str:
    """`a Hugging Face model or a GGUF model`."""
    return " or ".join(
        _WORDS[name][0] if name in _WORDS else f"a model in '{name}' form" for name in sorted(formats, reverse=True)
    )


def given(name: str) -> str:
    """`GGUF`, `a Hugging Face model`, `'zip' form`."""
    return _WORDS[name][1] if name in _WORDS else f"'{name}' form"
