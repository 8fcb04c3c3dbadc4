"""An engine without a model, which keeps the contract of engines: for tests of what uses one.

Its tokens are bytes, and it answers with the last message, upper case where a sampling temperature is asked for, or with the
smallest JSON that a schema allows. It opens files that `write_fake_model` wrote.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cogumi_core.api.errors import EngineError, InputError
from cogumi_core.api.types import JSON, GenerateRequest, Message, OpenOptions, Token

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["FORMAT", "FakeEngine", "FakeSession", "write_fake_model"]

FORMAT: Final = "fake"
VOCABULARY: Final = 256
_MAGIC: Final = b"fake model of "


def write_fake_model(path: Path, size: int = 1000) -> Path:
    """A file that `FakeEngine` opens: its first words say how long it is, so that a file cut short is noticed."""
    start = _MAGIC + f"{size} bytes\n".encode()
    path.write_bytes(start.ljust(size, b"."))
    return path


class FakeEngine:
    """See `cogumi_core.api.interfaces.Engine`. `opened` has the options of every session."""

    def __init__(self, settings: Any = None, services: Any = None, *, parallel: int = 4) -> None:
        self.most_parallel = parallel
        self.opened: list[OpenOptions] = []

    def open(self, model: Path, options: OpenOptions) -> FakeSession:
        content = model.read_bytes() if model.is_file() else b""
        words = content.split(b"\n")[0].split()
        if not content.startswith(_MAGIC) or int(words[3]) != len(content):
            message = f"{model}: no such model, or one that was cut short; `write_fake_model` writes one"
            raise InputError(message)
        self.opened.append(options)
        return FakeSession(options, min(options.parallel, self.most_parallel))


class FakeSession:
    """See `cogumi_core.api.interfaces.EmbeddingSession`. It holds nothing between requests, so answers any number at once."""

    def __init__(self, options: OpenOptions, parallel: int) -> None:
        self.context_tokens = options.context_tokens
        self.parallel = parallel
        self._adapters = dict(options.adapters)

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        asked = len(request.prompt.encode()) if request.prompt is not None else self.count_prompt_tokens(request.messages)
        if asked >= self.context_tokens:
            message = f"the prompt has {asked} tokens, the context {self.context_tokens}; ask less, or open it with more"
            raise EngineError(message)
        if adapter is not None and adapter not in self._adapters:
            message = f"there is no adapter '{adapter}'; there are: {', '.join(self._adapters) or 'none'}"
            raise EngineError(message)
        answer = self._answer(request, adapter).encode()
        kept = answer[: request.sampling.max_tokens]
        reason = "stop" if len(kept) == len(answer) else "length"
        for place, byte in enumerate(kept, start=1):
            yield Token(byte, chr(byte) if byte < 128 else "", -0.1, reason if place == len(kept) else None)

    def _answer(self, request: GenerateRequest, adapter: str | None) -> str:
        if request.schema is not None:
            return json.dumps(smallest(request.schema))
        said = request.prompt if request.prompt is not None else request.messages[-1].text
        text = f"{adapter}: {said}" if adapter else said or "."
        return text.upper() if request.sampling.temperature > 0 else text

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(f"{message.role}: {message.text}\n".encode()) for message in messages) + len(b"assistant: ")

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return list(text.encode())

    def detokenize(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode("utf-8", "replace")

    def score(self, tokens: Sequence[int], adapter: str | None = None) -> npt.NDArray[np.float32]:
        import numpy as np

        return np.full((len(tokens), VOCABULARY), -math.log(VOCABULARY), dtype=np.float32)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        import numpy as np

        rows = [np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint8) for text in texts]
        vectors = np.array(rows, dtype=np.float32).reshape(len(texts), 32)
        unit: npt.NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return unit

    def load_adapter(self, name: str, path: Path) -> None:
        self._adapters[name] = path

    def unload_adapter(self, name: str) -> None:
        self._adapters.pop(name, None)

    def close(self) -> None:
        self._adapters.clear()


def smallest(schema: Mapping[str, JSON]) -> JSON:
    """A small value that a JSON Schema of the usual sort allows."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        return {name: smallest(properties.get(name, {})) for name in schema.get("required", ())}
    return {"array": [], "string": "", "integer": 0, "number": 0, "boolean": False}.get(str(schema.get("type")))
