"""The file types that llama.cpp can make of a Llama model without an importance matrix.

Pure tables, so that settings and size forecasts need no numpy; numbers are llama.cpp's own. Left out: file types that it
refuses without an importance matrix (Q2_K_S, IQ1 to IQ3), ternary types (they need weights trained for them) and types for
mixtures of experts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cogumi_core.formats.gguf.types import FLOATS, TENSOR_TYPES, TensorType

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


def lossless_type(stored: Iterable[str]) -> str:
    """The narrowest float type that holds weights of these types exactly: the one that all have, or F32, which holds F16 and
    BF16."""
    kinds = set(stored)
    return kinds.pop() if len(kinds) == 1 else "F32"
