"""Reads the header of a GGUF file: metadata, and each tensor's name, shape, type and place. Never the matrices.

llama.cpp answers a damaged file with a line on the terminal and a null pointer, or by aborting; reading the header first turns
that into an error that says what is wrong. Arrays (a tokenizer has some 100,000 strings) are stepped over and read on demand.
Left out: big-endian files and version 1, which nothing writes any more.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Final

from cogumi_core.api.errors import InputError
from cogumi_core.formats.gguf.types import BY_NUMBER, TensorType

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
DEFAULT_ALIGNMENT: Final = 32
MAX_DIMENSIONS: Final = 4
_STRING, _ARRAY = 8, 9
_SCALARS: Final = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """`shape` is in row-major order as numpy has it (rows first), so `shape[-1]` is the width that blocks divide. `offset` is
    from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int

    @property
    def weights(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.type.bytes_of(self.weights)


@dataclass(frozen=True, slots=True)
class ArrayPlace:
    """Where an array of the metadata lies: element type, count, offset of the first element."""

    kind: int
    count: int
    offset: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """`metadata` holds scalars and strings; an array is an `ArrayPlace` until `array` reads it. `data_offset` is where tensor
    data begins: the size of the header with its padding."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: tuple[GgufTensor, ...]
    data_offset: int
    file_size: int
    alignment: int = DEFAULT_ALIGNMENT
    _arrays: dict[str, list[Any]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def architecture(self) -> str:
        return self.text("general.architecture")

    def text(self, key: str) -> str:
        """The text under `key`, empty when it is missing or not text."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    @property
    def tensor_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def weights(self) -> int:
        return sum(tensor.weights for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Exact: bytes of all tensors, scales included, over all weights. Metadata and padding do not count."""
        return self.tensor_bytes * 8 / self.weights

    def number(self, key: str, default: int = 0) -> int:
        """The whole number under `key`; `default` where it is missing or no number."""
        value = self.metadata.get(key, default)
        return int(value) if isinstance(value, (int, float)) else default

    def real(self, key: str, default: float = 0.0) -> float:
        """The number under `key`; `default` where it is missing or no number."""
        value = self.metadata.get(key, default)
        return float(value) if isinstance(value, (int, float)) else default

    def array(self, key: str) -> list[Any]:
        """All elements of an array of the metadata; empty where there is none."""
        place = self.metadata.get(key)
        if not isinstance(place, ArrayPlace):
            return []
        if key not in self._arrays:
            with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                cursor = _Cursor(data, place.offset)
                self._arrays[key] = [cursor.value(place.kind) for _ in range(place.count)]
        return self._arrays[key]

    def contents(self) -> dict[str, Any]:
        """All metadata, arrays read."""
        return {key: self.array(key) if isinstance(value, ArrayPlace) else value for key, value in self.metadata.items()}

    def vector(self, name: str) -> list[float]:
        """The values of a vector in 32 bits, such as rotary factors; empty where there is no such tensor."""
        found = next((tensor for tensor in self.tensors if tensor.name == name and tensor.type.name == "F32"), None)
        if found is None:
            return []
        with self.path.open("rb") as file:
            file.seek(found.offset)
            return list(struct.unpack(f"<{found.weights}f", file.read(found.nbytes)))


def read_header(path: Path) -> GgufHeader:
    """The header of `path`, checked against the file's size. Raises InputError: missing, not GGUF, damaged, cut short."""
    if not path.is_file():
        message = f"{path}: no such file; a GGUF file is expected"
        raise InputError(message)
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            file.seek(0)
            message = f"{path}: not a GGUF file (it starts with {file.read(4)!r}, a GGUF file with {MAGIC!r})"
            raise InputError(message)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header = _parse(path, data, size)
    _check_extents(header)
    return header


def _parse(path: Path, data: mmap.mmap, size: int) -> GgufHeader:
    try:
        return _Cursor(data, 4).header(path)
    except (struct.error, ValueError, OverflowError) as exc:
        message = (
            f"{path}: the header of this GGUF file is damaged or cut short ({size:,} bytes: {exc}); fetch or export it again"
        )
        raise InputError(message) from exc


def _check_extents(header: GgufHeader) -> None:
    for tensor in header.tensors:
        end = tensor.offset + tensor.nbytes
        if end > header.file_size:
            message = (
                f"{header.path}: cut short: tensor {tensor.name} ends at byte {end:,}, the file has {header.file_size:,}; "
                "fetch or export it again"
            )
            raise InputError(message)
        if not tensor.type.fits(tensor.shape[-1]):
            rows = f"rows of {tensor.name} have {tensor.shape[-1]} weights, no multiple of {tensor.type.block}"
            message = f"{header.path}: damaged: {rows}; fetch or export it again"
            raise InputError(message)


class _Cursor:
    """Steps through the bytes of a header. ValueError and struct.error mean damage; no count is trusted before use."""

    def __init__(self, data: mmap.mmap, position: int) -> None:
        self.data, self.position = data, position

    def header(self, path: Path) -> GgufHeader:
        version = self.scalar("<I")
        if version not in VERSIONS:
            message = f"{path}: GGUF version {version}; versions {VERSIONS[0]} and {VERSIONS[1]} (little-endian) can be read"
            raise InputError(message)
        tensor_count, key_count = self.count(24), self.count(12)
        metadata = {self.string(): self.metadata_value() for _ in range(key_count)}
        tensors = list(self.tensors(tensor_count))
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment <= 0 or alignment % 8:
            message = f"alignment {alignment!r}"
            raise ValueError(message)
        start = -(-self.position // alignment) * alignment
        placed = tuple(GgufTensor(name, shape, kind, start + offset) for name, shape, kind, offset in tensors)
        return GgufHeader(path, metadata, placed, start, len(self.data), alignment)

    def tensors(self, count: int) -> Iterator[tuple[str, tuple[int, ...], TensorType, int]]:
        for _ in range(count):
            name, dimensions = self.string(), self.scalar("<I")
            if not 1 <= dimensions <= MAX_DIMENSIONS:
                message = f"tensor {name} with {dimensions} dimensions"
                raise ValueError(message)
            shape = tuple(self.scalar("<Q") for _ in range(dimensions))
            number, offset = self.scalar("<I"), self.scalar("<Q")
            if number not in BY_NUMBER:
                message = f"tensor {name} has the unknown type {number}"
                raise ValueError(message)
            yield name, shape[::-1], BY_NUMBER[number], offset

    def metadata_value(self) -> Any:
        kind = self.scalar("<I")
        if kind != _ARRAY:
            return self.value(kind)
        element, count = self.scalar("<I"), self.count(1)
        place = ArrayPlace(element, count, self.position)
        if element in _SCALARS:
            self.position += count * struct.calcsize(_SCALARS[element])
        else:
            for _ in range(count):
                self.value(element)
        return place

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind not in _SCALARS:
            message = f"value of unknown type {kind} at byte {self.position}"
            raise ValueError(message)
        return self.scalar(_SCALARS[kind])

    def string(self) -> str:
        length = self.count(1)
        text = self.data[self.position : self.position + length].decode("utf-8")
        self.position += length
        return text

    def count(self, least_bytes: int) -> int:
        """A count of things of at least `least_bytes` bytes each; more than the file could hold is damage."""
        number: int = self.scalar("<Q")
        if number * least_bytes > len(self.data) - self.position:
            message = f"{number} elements at byte {self.position}"
            raise ValueError(message)
        return number

    def scalar(self, code: str) -> Any:
        (value,) = struct.unpack_from(code, self.data, self.position)
        self.position += struct.calcsize(code)
        return value
