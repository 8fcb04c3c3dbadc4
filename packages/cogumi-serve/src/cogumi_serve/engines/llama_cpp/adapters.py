"""The adapters of one session: checked against the base before llama.cpp sees them, and kept by name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from cogumi_core import EngineError, InputError
from cogumi_core.formats.gguf.header import read_header
from cogumi_serve.engines.llama_cpp.native import Model

DIGEST_KEY: Final = "cogumi.base.digest"
"""Metadata of an adapter: sha256, in hex, of the base file it was trained on."""


class AdapterShelf:
    """Loaded adapters by name. Not thread-safe: the session's lock orders its use."""

    def __init__(self, base: Path, architecture: str, model: Model) -> None:
        self._base, self._architecture, self._model = base, architecture, model
        self._handles: dict[str, Any] = {}
        self._base_digest = ""

    def __contains__(self, name: object) -> bool:
        return name in self._handles

    def load(self, name: str, path: Path) -> None:
        """Raises InputError: not an adapter, of another base, damaged; EngineError: the name is taken."""
        if name in self._handles:
            message = f"an adapter named '{name}' is loaded already; unload it first"
            raise EngineError(message)
        self._check(path)
        self._handles[name] = self._model.load_adapter(path)

    def unload(self, name: str) -> None:
        self._model.free_adapter(self._handles.pop(self.require(name)))

    def unload_all(self) -> None:
        while self._handles:
            self._model.free_adapter(self._handles.popitem()[1])

    def require(self, name: str) -> str:
        """`name`, or an EngineError that lists what is loaded."""
        if name not in self._handles:
            message = f"no adapter named '{name}' is loaded (loaded: {', '.join(sorted(self._handles)) or 'none'})"
            raise EngineError(message)
        return name

    def handle(self, name: str | None) -> Any:
        return None if name is None else self._handles[self.require(name)]

    def _check(self, path: Path) -> None:
        header = read_header(path)
        if header.text("general.type") != "adapter" or header.text("adapter.type") != "lora":
            message = f"{path}: a GGUF file, but not a LoRA adapter (general.type is '{header.text('general.type')}')"
            raise InputError(message)
        if header.text("general.architecture") != self._architecture:
            message = (
                f"{path}: an adapter for a '{header.text('general.architecture')}' model, the base is '{self._architecture}'"
            )
            raise InputError(message)
        wanted = header.text(DIGEST_KEY).removeprefix("sha256:")
        if wanted and wanted != self._digest():
            message = (
                f"{path}: this adapter was trained on a base with sha256 {wanted}, but {self._base} has {self._digest()}; "
                "use the base it was trained on, or train it again"
            )
            raise InputError(message)

    def _digest(self) -> str:
        if not self._base_digest:
            with self._base.open("rb") as file:
                self._base_digest = hashlib.file_digest(file, "sha256").hexdigest()
        return self._base_digest
