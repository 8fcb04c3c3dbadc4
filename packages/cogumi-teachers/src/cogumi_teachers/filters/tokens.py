"""Counts tokens as the student will see them.

A tokenizer.json is read by the `tokenizers` library; a model file carries its tokenizer inside, so an engine opens it without
its weights. Whitespace-separated words or four characters a token are never used as a stand-in: on code and on other languages
they are wrong by half.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

from tokenizers import Tokenizer

from cogumi_core import Engine, InputError, MissingDependency, OpenOptions, Services, Session, Use

REMEDY: Final = "install one (pip install 'cogumi-serve[llama]'), or set `tokenizer:` to the model's tokenizer.json"


class TokenCounter(Protocol):
    """Tokens of a text, without begin and end tokens."""

    def count(self, text: str) -> int: ...

    def close(self) -> None: ...


def open_counter(path: Path, engine: Use[Engine] | None, services: Services) -> TokenCounter:
    """The counter for a tokenizer.json, a Hugging Face folder, or a model file that `engine` opens. Raises InputError or
    MissingDependency."""
    if not path.is_dir() and path.suffix != ".json":
        if engine is None:
            message = f"{path.name}: counting with the tokenizer inside a model file needs an engine; {REMEDY}"
            raise MissingDependency(message)
        opener: Engine = services.make(engine)
        return EngineCounter(opener.open(path, OpenOptions(vocab_only=True)))
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.exists():
        message = f"{path}: has no tokenizer.json; save the tokenizer in the fast format, or set `tokenizer:` to such a file"
        raise InputError(message)
    return JsonCounter(file)


class JsonCounter:
    """Counts with a tokenizer.json."""

    def __init__(self, file: Path) -> None:
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(file))
        except Exception as exc:
            message = f"{file}: not a tokenizer.json that the tokenizers library reads ({exc})"
            raise InputError(message) from exc
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def close(self) -> None:
        return None


class EngineCounter:
    """Counts with the tokenizer inside a model file."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def count(self, text: str) -> int:
        return len(self._session.tokenize(text))

    def close(self) -> None:
        self._session.close()
