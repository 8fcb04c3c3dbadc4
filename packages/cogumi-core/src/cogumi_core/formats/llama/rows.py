"""The order of rows in query and key projections, which GGUF and Hugging Face have differently.

Hugging Face rotates pairs (i, i + d/2) of a head of d rows, llama.cpp's `llama` architecture pairs (2i, 2i + 1). In the wrong
order a model loads without complaint and answers nonsense; so does an adapter, whose B has the same rows.
"""

from __future__ import annotations

from typing import Any, TypeVar

Array = TypeVar("Array")
"""Numpy's or torch's: what has `shape`, `reshape` and `swapaxes`."""


def interleave_halves(values: Array, heads: int) -> Array:
    """Rows [heads * d, ...] in Hugging Face's order to GGUF's: within each head, row i of the first half is followed by row i
    of the second."""
    array: Any = values
    rows, *rest = array.shape
    result: Array = array.reshape(heads, 2, rows // heads // 2, *rest).swapaxes(1, 2).reshape(rows, *rest)
    return result


def separate_halves(values: Array, heads: int) -> Array:
    """Rows [heads * d, ...] in GGUF's order to Hugging Face's: the inverse of `interleave_halves`."""
    array: Any = values
    rows, *rest = array.shape
    result: Array = array.reshape(heads, rows // heads // 2, 2, *rest).swapaxes(1, 2).reshape(rows, *rest)
    return result
