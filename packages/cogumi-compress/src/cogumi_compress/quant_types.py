"""The tensor types of GGUF files, and the file types that llama.cpp can make of a Llama model without an importance matrix.

Pure tables and a lookup, so that settings, size forecasts and header reading need no numpy. Block layouts are those that ggml
fixes (ggml-quants.h); numbers are ggml's and llama.cpp's own. Left out: file types that llama.cpp refuses without an importance
matrix (Q2_K_S, IQ1 to IQ3), ternary types (they need weights trained for them) and types for mixtures of experts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class TensorType:
    """How weights are stored: `block` weights of one row share `block_bytes` bytes. `keeps_zeros`: a weight that is exactly
    zero is exactly zero again after reading; types with a minimum per block or a code book without zero lose it."""

    name: str
    number: int
    block: int
    block_bytes: int
    keeps_zeros: bool = False

    @property
    def bits(self) -> float:
        """Bits a weight, scales included."""
        return self.block_bytes * 8 / self.block

    def fits(self, width: int) -> bool:
        """Whether rows of `width` weights divide into whole blocks."""
        return width % self.block == 0

    def bytes_of(self, weights: int) -> int:
        """Bytes of a tensor of so many weights whose rows divide into whole blocks."""
        return weights // self.block * self.block_bytes


_TYPES: Final = (
    TensorType("F32", 0, 1, 4, keeps_zeros=True),
    TensorType("F16", 1, 1, 2, keeps_zeros=True),
    TensorType("Q4_0", 2, 32, 18, keeps_zeros=True),
    TensorType("Q4_1", 3, 32, 20),
    TensorType("Q5_0", 6, 32, 22, keeps_zeros=True),
    TensorType("Q5_1", 7, 32, 24),
    TensorType("Q8_0", 8, 32, 34, keeps_zeros=True),
    TensorType("Q8_1", 9, 32, 40),
    TensorType("Q2_K", 10, 256, 84),
    TensorType("Q3_K", 11, 256, 110, keeps_zeros=True),
    TensorType("Q4_K", 12, 256, 144),
    TensorType("Q5_K", 13, 256, 176),
    TensorType("Q6_K", 14, 256, 210, keeps_zeros=True),
    TensorType("Q8_K", 15, 256, 292, keeps_zeros=True),
    TensorType("IQ2_XXS", 16, 256, 66),
    TensorType("IQ2_XS", 17, 256, 74),
    TensorType("IQ3_XXS", 18, 256, 98),
    TensorType("IQ1_S", 19, 256, 50),
    TensorType("IQ4_NL", 20, 32, 18),
    TensorType("IQ3_S", 21, 256, 110),
    TensorType("IQ2_S", 22, 256, 82),
    TensorType("IQ4_XS", 23, 256, 136),
    TensorType("I8", 24, 1, 1),
    TensorType("I16", 25, 1, 2),
    TensorType("I32", 26, 1, 4),
    TensorType("I64", 27, 1, 8),
    TensorType("F64", 28, 1, 8, keeps_zeros=True),
    TensorType("IQ1_M", 29, 256, 56),
    TensorType("BF16", 30, 1, 2, keeps_zeros=True),
    TensorType("TQ1_0", 34, 256, 54, keeps_zeros=True),
    TensorType("TQ2_0", 35, 256, 66, keeps_zeros=True),
    TensorType("MXFP4", 39, 32, 17, keeps_zeros=True),
    TensorType("NVFP4", 40, 64, 36, keeps_zeros=True),
    TensorType("Q1_0", 41, 128, 18),
)
TENSOR_TYPES: Final = {kind.name: kind for kind in _TYPES}
BY_NUMBER: Final = {kind.number: kind for kind in _TYPES}
FLOATS: Final = ("F32", "F16", "BF16")

# A row width that does not divide into blocks of 256 gets the next larger type with blocks of 32, as llama.cpp does it.
FALLBACKS: Final = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "IQ4_XS": "IQ4_NL"}


@dataclass(frozen=True, slots=True)
class FileType:
    """A named mix: `base` for most tensors, more bits where llama.cpp's recipe of that name says so. `number`: llama_ftype."""

    name: str
    number: int
    base: TensorType

    @property
    def is_float(self) -> bool:
        return self.base.name in FLOATS


FILE_TYPES: Final = {
    name: FileType(name, number, TENSOR_TYPES[base])
    for name, number, base in (
        ("F32", 0, "F32"),
        ("F16", 1, "F16"),
        ("BF16", 32, "BF16"),
        ("Q8_0", 7, "Q8_0"),
        ("Q6_K", 18, "Q6_K"),
        ("Q5_K_M", 17, "Q5_K"),
        ("Q5_K_S", 16, "Q5_K"),
        ("Q5_1", 9, "Q5_1"),
        ("Q5_0", 8, "Q5_0"),
        ("Q4_K_M", 15, "Q4_K"),
        ("Q4_K_S", 14, "Q4_K"),
        ("Q4_1", 3, "Q4_1"),
        ("Q4_0", 2, "Q4_0"),
        ("IQ4_NL", 25, "IQ4_NL"),
        ("IQ4_XS", 30, "IQ4_XS"),
        ("Q3_K_L", 13, "Q3_K"),
        ("Q3_K_M", 12, "Q3_K"),
        ("Q3_K_S", 11, "Q3_K"),
        ("Q2_K", 10, "Q2_K"),
    )
}
"""In order of falling size."""

ALIASES: Final = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "FP32": "F32", "FP16": "F16"}
OVERRIDES: Final = (
    "F32",
    "F16",
    "BF16",
    "Q8_0",
    "Q6_K",
    "Q5_K",
    "Q5_1",
    "Q5_0",
    "Q4_K",
    "Q4_1",
    "Q4_0",
    "IQ4_NL",
    "IQ4_XS",
    "Q3_K",
    "Q2_K",
)
"""Tensor types that `token_embedding_type` and `output_type` may name."""
