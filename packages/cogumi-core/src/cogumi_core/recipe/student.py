"""The model a recipe starts from: a GGUF file, a Hugging Face directory, or a Hugging Face id.

Only found and identified here, never loaded: its content digest is part of every fingerprint that depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cogumi_core.api.errors import InputError, MissingDependency
from cogumi_core.api.locate import locate
from cogumi_core.api.types import ModelRef

Digest = Callable[[Path], str]
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
GGUF_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True)
class ToFetch:
    """A model that is not here yet: its id on Hugging Face, perhaps with `@revision`."""

    id: str


def find_student(text: str, base_dir: Path, digest: Digest, *, fetch: bool = True) -> ModelRef | ToFetch:
    """The model that `student:` names, with the digest of its content. A Hugging Face id is downloaded, or, without `fetch`,
    only looked up among what was downloaded before. Raises InputError when it is no model."""
    path = _find(text, base_dir, fetch=fetch)
    if path is None:
        return ToFetch(text)
    if path.is_dir():
        return ModelRef(_hugging_face_directory(text, path), "hf", digest(path))
    if not path.is_file():
        message = f"student: {text} is neither a file nor a folder"
        raise InputError(message)
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != GGUF_MAGIC:
        message = f"student: {text} is neither a GGUF file nor a Hugging Face directory (it starts with {magic!r})"
        raise InputError(message)
    return ModelRef(path, "gguf", digest(path))


def _find(text: str, base_dir: Path, *, fetch: bool) -> Path | None:
    try:
        return locate(text, base_dir)
    except InputError as exc:
        if not _HUB_ID.fullmatch(text) or text.endswith(".gguf"):
            message = f"student: {exc}. Write a GGUF file, a folder with config.json, package:NAME/FILE, or a Hugging Face id"
            raise InputError(message) from exc
        return _from_hub(text, fetch=fetch)


def _from_hub(model_id: str, *, fetch: bool) -> Path | None:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError as exc:
        message = f"student: '{model_id}' is no local file; to fetch it from Hugging Face: pip install 'cogumi-core[hub]'"
        raise MissingDependency(message) from exc
    name, _, revision = model_id.partition("@")
    patterns = ["*.safetensors", "*.json", "*.jinja", "tokenizer*"]
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns, local_files_only=not fetch))
    except RepositoryNotFoundError as exc:
        message = f"student: there is no model '{name}' on Hugging Face, or it is private (set HF_TOKEN)"
        raise InputError(message) from exc
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as exc:
        if not fetch:
            return None
        message = f"student: '{name}' is no local file and Hugging Face did not give it: {exc}"
        raise InputError(message) from exc


def _hugging_face_directory(text: str, path: Path) -> Path:
    if not (path / "config.json").exists():
        message = f"student: {text} is a folder without config.json, so not a Hugging Face model"
        raise InputError(message)
    return path
