"""The tensor types of GGUF files: how many bytes a block of weights takes.

Block layouts are those that ggml fixes (ggml-quants.h); numbers are ggml's own.
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
