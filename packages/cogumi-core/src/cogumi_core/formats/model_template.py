"""The chat template of a model on disk, whichever of the two forms it is in."""

from __future__ import annotations

from pathlib import Path

from cogumi_core.api.types import ModelRef
from cogumi_core.formats.chat_template import ChatTemplate
from cogumi_core.formats.gguf.header import read_header
from cogumi_core.formats.json_files import optional_object


def template_of(model: ModelRef) -> ChatTemplate:
    """Raises InputError (unreadable files) and EngineError (no template, or one that cannot be read)."""
    return _of_folder(model.path) if model.path.is_dir() else _of_gguf(model.path)


def _of_folder(folder: Path) -> ChatTemplate:
    config = optional_object(folder / "tokenizer_config.json", "copy the model again")
    own = folder / "chat_template.jinja"
    source = own.read_text(encoding="utf-8") if own.exists() else config.get("chat_template") or ""
    if isinstance(source, list):  # several named ones: the default is the one that talks
        source = next((entry["template"] for entry in source if entry.get("name") == "default"), "")
    return ChatTemplate(source, bos=_token(config.get("bos_token")), eos=_token(config.get("eos_token")))


def _of_gguf(path: Path) -> ChatTemplate:
    header = read_header(path)
    tokens = header.array("tokenizer.ggml.tokens")

    def token(name: str) -> str:
        index = header.metadata.get(f"tokenizer.ggml.{name}_token_id")
        return tokens[index] if isinstance(index, int) and 0 <= index < len(tokens) else ""

    return ChatTemplate(str(header.metadata.get("tokenizer.chat_template", "")), bos=token("bos"), eos=token("eos"))


def _token(value: object) -> str:
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else ""
