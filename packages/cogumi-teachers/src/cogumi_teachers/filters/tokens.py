"""Counts tokens as the student will see them.

A tokenizer.json is read by the `tokenizers` library; a GGUF file carries its tokenizer inside, so an engine opens it
without its weights. Whitespace-separated words or four characters a token are never used as a stand-in: on code and on
other languages they are wrong by half.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from cogumi_core.api.errors import InputError, MissingDependency, UnknownComponent
from cogumi_core.api.interfaces import ComponentSource

CountTokens = Callable[[str], int]
ENGINE: Final = "llama-cpp"
REMEDY: Final = "install one (pip install 'cogumi-serve[llama]'), or set `tokenizer:` to the model's tokenizer.json"


def open_counter(path: Path, registry: ComponentSource) -> CountTokens:
    """Counts the tokens of a text, without begin and end tokens. Raises InputError or MissingDependency."""
    if path.suffix == ".gguf":
        return _gguf_counter(path, registry)
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.exists():
        message = f"{path}: has no tokenizer.json; save the tokenizer in the fast format, or set `tokenizer:` to such a file"
        raise InputError(message)
    return _json_counter(file)


def _json_counter(file: Path) -> CountTokens:
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as exc:
        message = f"{file}: not a tokenizer.json that the tokenizers library reads ({exc})"
        raise InputError(message) from exc
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _gguf_counter(path: Path, registry: ComponentSource) -> CountTokens:
    try:
        engine = registry.create("engine", ENGINE)
    except (UnknownComponent, MissingDependency) as exc:
        message = f"{path.name}: counting the tokens of a GGUF model needs the engine '{ENGINE}'; {REMEDY}"
        raise MissingDependency(message) from exc
    session = engine.open(path, vocab_only=True)
    return lambda text: len(session.tokenize(text))
