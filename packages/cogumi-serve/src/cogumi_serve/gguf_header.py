"""Reads and checks the header of a GGUF file without loading it.

llama.cpp reports a damaged file by printing to the terminal and returning nothing. Looking first lets Cogumi say what is wrong:
not GGUF, cut short, split in parts, or a model of another architecture. Only small metadata is kept; the arrays of the
tokenizer are stepped over.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO, Final

from cogumi_core.errors import InputError

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
DEFAULT_ALIGNMENT: Final = 32
MAX_STRING: Final = 1 << 26
MAX_DIMENSIONS: Final = 4

_STRING: Final = 8
_ARRAY: Final = 9
_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

# (weights in a block, bytes of a block) by ggml type: the layout that ggml fixes for each quantisation.
_BLOCKS: Final = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 40),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
    40: (64, 36),  # NVFP4
    41: (128, 18),  # Q1_0
}


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """`metadata` has the scalars and texts; an array stands there as its length. `data_end` is where the last tensor must
    end, in bytes from the start of the file."""

    version: int
    metadata: Mapping[str, int | float | str | bool]
    tensors: Mapping[str, tuple[int, ...]]
    data_end: int

    def text(self, key: str) -> str:
        """The text under `key`, empty when it is missing or not text."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""


def read_header(path: Path) -> GgufHeader:
    """Header of the GGUF file `path`. Raises InputError when the file is missing, not GGUF, or shorter than its tensors."""
    if not path.is_file():
        message = f"{path}: no such file; a GGUF file is expected"
        raise InputError(message)
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            header = _Reader(path, file, size).header()
        except (struct.error, EOFError, UnicodeDecodeError) as exc:
            message = f"{path}: the GGUF header is damaged or cut short ({size:,} bytes); download or export the file again"
            raise InputError(message) from exc
    if header.data_end > size:
        message = (
            f"{path}: cut short: its tensors need {header.data_end:,} bytes, the file has {size:,}; download or export it again"
        )
        raise InputError(message)
    return header


class _Reader:
    """Steps through a header; every length is checked against the file size before anything is allocated."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self._path, self._file, self._size = path, file, size

    def header(self) -> GgufHeader:
        magic = self._file.read(4)
        if magic != MAGIC:
            message = f"{self._path}: not a GGUF file (it starts with {magic!r}, GGUF files with {MAGIC!r})"
            raise InputError(message)
        version = self._unpack("I")
        if version not in VERSIONS:
            message = f"{self._path}: GGUF version {version}; versions {VERSIONS[0]} and {VERSIONS[1]} can be read"
            raise InputError(message)
        tensor_count, key_count = self._unpack("Q"), self._unpack("Q")
        self._plausible(tensor_count + key_count)
        metadata = {self._string(): self._value(self._unpack("I")) for _ in range(key_count)}
        tensors, end = {}, 0
        for _ in range(tensor_count):
            name, shape, stop = self._tensor()
            tensors[name] = shape
            end = max(end, stop)
        alignment = int(metadata.get("general.alignment", DEFAULT_ALIGNMENT)) or DEFAULT_ALIGNMENT
        start = -(-self._file.tell() // alignment) * alignment
        return GgufHeader(version, metadata, tensors, start + end)

    def _tensor(self) -> tuple[str, tuple[int, ...], int]:
        name, count = self._string(), self._unpack("I")
        if count > MAX_DIMENSIONS:
            raise EOFError
        shape = tuple(self._unpack("Q") for _ in range(count))
        kind, offset = self._unpack("I"), self._unpack("Q")
        # A type this table does not know is left to llama.cpp: its start is checked, its length cannot be.
        weights, size = _BLOCKS.get(kind, (1, 0))
        return name, shape, offset + prod(shape) * size // weights

    def _value(self, kind: int) -> int | float | str | bool:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._skip_array()
        if kind not in _SCALARS:
            raise EOFError
        return self._unpack(_SCALARS[kind])

    def _skip_array(self) -> int:
        kind, count = self._unpack("I"), self._unpack("Q")
        self._plausible(count)
        if kind in _SCALARS:
            self._file.seek(count * struct.calcsize("<" + _SCALARS[kind]), 1)
            return count
        for _ in range(count):
            self._value(kind)
        return count

    def _string(self) -> str:
        length = self._unpack("Q")
        if length > MAX_STRING:
            raise EOFError
        return self._read(length).decode("utf-8")

    def _unpack(self, code: str) -> int:
        value: int = struct.unpack("<" + code, self._read(struct.calcsize("<" + code)))[0]
        return value

    def _read(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) != length:
            raise EOFError
        return data

    def _plausible(self, count: int) -> None:
        if count > self._size:
            raise EOFError
