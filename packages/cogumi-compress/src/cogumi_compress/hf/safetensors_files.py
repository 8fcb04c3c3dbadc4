"""Reads the tensors of a Hugging Face directory, one file or sharded, without loading a file into memory.

A safetensors file is an 8-byte length, a JSON header and raw bytes; mapping it gives numpy views that the system pages in and
out, so a 16 GB model needs the memory of its largest tensor. bfloat16, which numpy lacks, comes as its raw 16 bits.
Left out: pickled checkpoints (`pytorch_model.bin`), which run code when read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cogumi_core import InputError
from cogumi_core.formats.json_files import read_object

INDEX: Final = "model.safetensors.index.json"
SINGLE: Final = "model.safetensors"
DTYPES: Final[Mapping[str, tuple[str, int]]] = {"F32": ("<f4", 4), "F16": ("<f2", 2), "BF16": ("<u2", 2)}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file; `dtype` in safetensors' names, `offset` from the start of the file."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int

    @property
    def weights(self) -> int:
        return prod(self.shape)

    def read(self) -> npt.NDArray[Any]:
        """The values as a read-only view of the file; BF16 as raw uint16."""
        if not self.weights:
            return np.zeros(self.shape, DTYPES[self.dtype][0])
        return np.memmap(self.file, DTYPES[self.dtype][0], "r", self.offset, self.shape)


def list_tensors(model_dir: Path) -> dict[str, StoredTensor]:
    """Every tensor of the model by name, from the headers alone. Raises InputError: missing, damaged or cut short."""
    index = model_dir / INDEX
    if index.is_file():
        return _sharded(model_dir, index)
    files = [model_dir / SINGLE] if (model_dir / SINGLE).is_file() else sorted(model_dir.glob("*.safetensors"))
    if len(files) != 1:
        found = f"{len(files)} of them and no {INDEX}" if files else "none"
        message = (
            f"{model_dir}: weights are expected in {SINGLE} or in shards listed by {INDEX}; found {found}. {_advice(model_dir)}"
        )
        raise InputError(message)
    return {tensor.name: tensor for tensor in read_file_header(files[0])}


def _advice(model_dir: Path) -> str:
    if any(model_dir.glob("*.bin")):
        return "Pickled weights (.bin) are not read; save the model again with save_pretrained"
    return "Save the model with save_pretrained, or fetch its *.safetensors files"


def _sharded(model_dir: Path, index: Path) -> dict[str, StoredTensor]:
    weight_map = read_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        message = f"{index}: no weight_map; fetch the model again"
        raise InputError(message)
    found: dict[str, StoredTensor] = {}
    for name in sorted(set(weight_map.values())):
        if Path(name).name != name or not (model_dir / name).is_file():
            message = f"{model_dir}: shard {name} is listed in {index.name} and missing; fetch the model again"
            raise InputError(message)
        found |= {tensor.name: tensor for tensor in read_file_header(model_dir / name)}
    missing = sorted(set(weight_map) - set(found))
    if missing:
        message = (
            f"{model_dir}: {len(missing)} tensors of {index.name} are in no shard, first {missing[0]}; fetch the model again"
        )
        raise InputError(message)
    return found


def read_file_header(path: Path) -> list[StoredTensor]:
    """The tensors of one safetensors file. Raises InputError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            message = f"{path}: not a safetensors file, or cut short ({size:,} bytes); fetch or save it again"
            raise InputError(message)
        try:
            header = json.loads(file.read(length))
            tensors = [_tensor(path, name, row, 8 + length) for name, row in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            message = f"{path}: the safetensors header is damaged ({exc}); fetch or save it again"
            raise InputError(message) from exc
    for tensor in tensors:
        if tensor.offset + tensor.nbytes > size:
            end = tensor.offset + tensor.nbytes
            message = f"{path}: cut short: {tensor.name} ends at byte {end:,} of {size:,}; fetch or save it again"
            raise InputError(message)
    return tensors


def _tensor(path: Path, name: str, row: Mapping[str, Any], start: int) -> StoredTensor:
    begin, end = row["data_offsets"]
    tensor = StoredTensor(name, path, row["dtype"], tuple(row["shape"]), start + begin, end - begin)
    if tensor.dtype not in DTYPES:
        message = (
            f"{path}: tensor {name} has type {tensor.dtype}; F32, F16 and BF16 can be exported (dequantise the model first)"
        )
        raise InputError(message)
    if tensor.nbytes != tensor.weights * DTYPES[tensor.dtype][1] or begin < 0:
        message = f"tensor {name} has {tensor.nbytes} bytes for shape {list(tensor.shape)}"
        raise ValueError(message)
    return tensor
