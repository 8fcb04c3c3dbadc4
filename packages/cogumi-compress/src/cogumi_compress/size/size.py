"""Bit accounting: what each tensor of a model costs now, and what the model would cost in each file type.

Works from headers: of a GGUF file, of safetensors files, or from a `config.json` alone, which fixes every shape. Sizes of other
types are exact where the tokenizer is there, because the rules of `allocation` are llama.cpp's. Left out: mixes found by
measured sensitivity; a byte target is answered with the uniform types and named mixes that meet it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cogumi_compress.gguf.allocation import Mix, allocate, padded_bytes
from cogumi_compress.gguf.files import gguf_file, is_hugging_face
from cogumi_compress.gguf.quant_types import FILE_TYPES, lossless_type
from cogumi_core import InputError
from cogumi_core.formats.gguf.header import GgufHeader, read_header
from cogumi_core.formats.llama.config import LlamaConfig, read_config
from cogumi_core.formats.llama.names import ROPE_FREQS, group_of
from cogumi_core.formats.llama.shapes import llama_tensors, shape_of_gguf

GROUPS: Final = {
    "embeddings": "embeddings",
    "attention": "attention",
    "ffn": "feed-forward",
    "norms": "norms",
    "other": "other",
}
"""Groups of tensors, in the order and in the words in which they are shown."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor; `kind` and `nbytes` are None where only its shape is known."""

    name: str
    shape: tuple[int, ...]
    weights: int
    kind: str | None = None
    nbytes: int | None = None

    @property
    def group(self) -> str:
        return GROUPS[group_of(self.name)]


@dataclass(frozen=True, slots=True)
class SizedModel:
    """A model as the accounting sees it. `header_bytes`: metadata with the tokenizer, None where there is none."""

    path: Path
    format: str
    entries: tuple[Entry, ...]
    layers: int
    grouping: int
    header_bytes: int | None
    file_bytes: int | None = None

    @property
    def weights(self) -> int:
        return sum(entry.weights for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Total:
    """Weights and bytes of some tensors; `bits` a weight, None where bytes are not known."""

    weights: int
    nbytes: int | None

    @property
    def bits(self) -> float | None:
        return self.nbytes * 8 / self.weights if self.nbytes is not None and self.weights else None


@dataclass(frozen=True, slots=True)
class TypeSize:
    """What the model is in one file type. `nbytes` is the whole file where the tokenizer is known, else the tensors with
    padding. `margin`: bytes left below the target, negative above it, None without one."""

    name: str
    nbytes: int
    bits: float
    fallbacks: int
    margin: int | None = None


def read_model(path: Path) -> SizedModel:
    """The shapes of a GGUF file, a Hugging Face directory or a config.json. Raises InputError."""
    if is_hugging_face(path):
        return _from_hugging_face(path)
    if path.suffix == ".json":
        config = read_config(path)
        return SizedModel(path, "config", tuple(_shapes(config)), config.shape.layers, config.shape.grouping, None)
    return _from_gguf(read_header(gguf_file(path)))


def total(entries: Iterator[Entry] | tuple[Entry, ...]) -> Total:
    """Sums; bytes are None when any tensor's are not known."""
    listed = tuple(entries)
    sizes = [entry.nbytes for entry in listed if entry.nbytes is not None]
    return Total(sum(entry.weights for entry in listed), sum(sizes) if len(sizes) == len(listed) else None)


def by_group(model: SizedModel) -> dict[str, Total]:
    """Totals of the groups that the model has, in a fixed order."""
    found = {group: tuple(entry for entry in model.entries if entry.group == group) for group in GROUPS.values()}
    return {group: total(entries) for group, entries in found.items() if entries}


def type_sizes(model: SizedModel, target: int | None = None) -> list[TypeSize]:
    """The model in every file type, largest first."""
    return sorted((_type_size(model, Mix(kind), target) for kind in FILE_TYPES.values()), key=lambda size: -size.nbytes)


def forecast_bytes(model: SizedModel, mix: Mix) -> int:
    """Bytes of the file in the types of `mix`: metadata, tensors and padding."""
    return _type_size(model, mix, None).nbytes


def exact_bytes(model: SizedModel) -> int:
    """Bytes of the file that keeps every weight as it is: a GGUF file itself, or an export in the narrowest float type that
    loses nothing. Raises InputError where the stored types are not known."""
    if model.format == "gguf" and model.file_bytes is not None:
        return model.file_bytes
    kinds = {entry.kind for entry in model.entries if entry.name != ROPE_FREQS}
    if None in kinds:
        message = f"{model.path}: the types of the weights are not known from here; they are in the *.safetensors files"
        raise InputError(message)
    return forecast_bytes(model, Mix(FILE_TYPES[lossless_type(str(kind) for kind in kinds)]))


def _type_size(model: SizedModel, mix: Mix, target: int | None) -> TypeSize:
    assigned = allocate(model.entries, mix, layers=model.layers, grouping=model.grouping)
    nbytes = (model.header_bytes or 0) + padded_bytes(item.nbytes for item in assigned)
    bits = sum(item.nbytes for item in assigned) * 8 / model.weights
    margin = None if target is None else target - nbytes
    return TypeSize(mix.type.name, nbytes, bits, sum(item.fell_back for item in assigned), margin)


def _from_gguf(header: GgufHeader) -> SizedModel:
    shape = shape_of_gguf(header)
    return SizedModel(
        header.path,
        "gguf",
        tuple(Entry(t.name, t.shape, t.weights, t.type.name, t.nbytes) for t in header.tensors),
        shape.layers,
        shape.grouping,
        header.data_offset,
        header.file_size,
    )


def _from_hugging_face(path: Path) -> SizedModel:
    from cogumi_compress.hf.safetensors_files import list_tensors

    config = read_config(path)
    stored = list_tensors(path)
    entries = [
        Entry(entry.name, entry.shape, entry.weights, stored[source].dtype, stored[source].nbytes)
        if source in stored
        else entry
        for entry, source in zip(_shapes(config), _sources(config), strict=True)
    ]
    files = {tensor.file for tensor in stored.values()}
    size = sum(file.stat().st_size for file in files)
    shape = config.shape
    return SizedModel(path, "hf", tuple(entries), shape.layers, shape.grouping, _header_bytes(path), size)


def _shapes(config: LlamaConfig) -> Iterator[Entry]:
    for tensor in llama_tensors(config.shape):
        yield Entry(tensor.name, tensor.shape, tensor.weights)
    if config.rope.llama3:
        count = config.shape.head_dim // 2
        yield Entry(ROPE_FREQS, (count,), count, "F32", 4 * count)


def _sources(config: LlamaConfig) -> list[str]:
    return [tensor.source for tensor in llama_tensors(config.shape)] + ([""] if config.rope.llama3 else [])


def _header_bytes(model_dir: Path) -> int | None:
    """Size of the metadata an export would write; None where the tokenizer is missing or cannot be exported."""
    from cogumi_compress.gguf.export import header_bytes

    try:
        with tempfile.TemporaryDirectory() as scratch:
            return header_bytes(model_dir, Path(scratch))
    except InputError:
        return None
