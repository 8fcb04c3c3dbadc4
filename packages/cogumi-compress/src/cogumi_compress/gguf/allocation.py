"""Which type llama.cpp gives each tensor of a Llama model, and so the exact size of a file that does not exist yet.

A file type is not one type: the named mixes spend more bits on value projections, on some down projections and on the output
layer, and a row width that does not divide into blocks makes a tensor fall back to a larger type. The rules restated here are
those of llama.cpp's `llama_tensor_get_type` for dense models without importance matrix (version 0.3.36 of llama-cpp-python);
tests compare every file type with what the library writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

from cogumi_compress.gguf.quant_types import FALLBACKS, FileType
from cogumi_core import InputError
from cogumi_core.formats.gguf.types import TENSOR_TYPES, TensorType
from cogumi_core.formats.llama.names import EMBEDDING, OUTPUT, layer_of, part_of


class Shaped(Protocol):
    """A tensor of which only name and shape matter; rows first, as numpy has it."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class Mix:
    """A file type with the settings that change it."""

    type: FileType
    pure: bool = False
    embedding: TensorType | None = None
    output: TensorType | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """`wanted` is what the mix asks for, `kind` what the tensor gets."""

    name: str
    shape: tuple[int, ...]
    wanted: TensorType
    kind: TensorType

    @property
    def weights(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.kind.bytes_of(self.weights)

    @property
    def fell_back(self) -> bool:
        return self.kind is not self.wanted


@dataclass(frozen=True, slots=True)
class Architecture:
    """What of the model the rules look at. `grouping`: query heads for each key head."""

    layers: int
    grouping: int
    tied: bool

    @property
    def is_70b(self) -> bool:
        """llama.cpp knows Llama 70B by its 80 layers with grouped heads, and treats its value projections apart."""
        return self.layers == 80 and self.grouping > 1


def allocate(tensors: Sequence[Shaped], mix: Mix, *, layers: int, grouping: int) -> list[Assignment]:
    """The type of each tensor. Raises InputError when a type named in the settings does not fit its tensor's width."""
    tied = all(tensor.name != OUTPUT for tensor in tensors)
    architecture = Architecture(layers, grouping, tied)
    return [_assign(tensor, mix, architecture) for tensor in tensors]


def padded_bytes(sizes: Iterable[int], alignment: int = 32) -> int:
    """Bytes that tensors of these sizes take in a file, each padded to `alignment`."""
    return sum(-(-size // alignment) * alignment for size in sizes)


def fallback_summary(assigned: Sequence[Assignment]) -> Iterator[dict[str, object]]:
    """Which tensors got another type than the mix asks for, grouped by (asked, got, width)."""
    groups: dict[tuple[str, str, int], list[str]] = {}
    for item in assigned:
        if item.fell_back:
            groups.setdefault((item.wanted.name, item.kind.name, item.shape[-1]), []).append(item.name)
    for (wanted, kind, width), names in groups.items():
        reason = f"width {width} is not a multiple of {TENSOR_TYPES[wanted].block}"
        yield {"wanted": wanted, "got": kind, "reason": reason, "tensors": names}


def quantisable(tensor: Shaped) -> bool:
    """llama.cpp quantises matrices named weight; norms, biases and rope factors are vectors and stay F32."""
    return len(tensor.shape) > 1 and tensor.name.endswith("weight") and not tensor.name.endswith("_norm.weight")


def _assign(tensor: Shaped, mix: Mix, architecture: Architecture) -> Assignment:
    if not quantisable(tensor):
        plain = TENSOR_TYPES["F32"]
        return Assignment(tensor.name, tensor.shape, plain, plain)
    named = {EMBEDDING: mix.embedding, OUTPUT: mix.output}.get(tensor.name)
    if named:
        return Assignment(tensor.name, tensor.shape, named, _must_fit(tensor, named))
    if mix.type.is_float:
        return Assignment(tensor.name, tensor.shape, mix.type.base, mix.type.base)
    wanted = mix.type.base if mix.pure else _in_mix(tensor, mix, architecture)
    return Assignment(tensor.name, tensor.shape, wanted, _that_fits(wanted, tensor.shape[-1]))


def _must_fit(tensor: Shaped, kind: TensorType) -> TensorType:
    # llama.cpp aborts the process on this instead of falling back.
    if kind.fits(tensor.shape[-1]):
        return kind
    message = (
        f"{tensor.name} cannot be {kind.name}: its rows have {tensor.shape[-1]} weights, no multiple of {kind.block}; "
        f"choose {FALLBACKS.get(kind.name, 'F16')}"
    )
    raise InputError(message)


def _that_fits(wanted: TensorType, width: int) -> TensorType:
    if wanted.fits(width):
        return wanted
    smaller_blocks = TENSOR_TYPES[FALLBACKS.get(wanted.name, wanted.name)]
    return smaller_blocks if smaller_blocks.fits(width) else TENSOR_TYPES["F16"]


def _in_mix(tensor: Shaped, mix: Mix, architecture: Architecture) -> TensorType:
    base = mix.type.base
    if tensor.name == OUTPUT or (tensor.name == EMBEDDING and architecture.tied):
        return _output_type(mix, tensor.shape[-1])
    special = {"attn_v": _value_type, "ffn_down": _down_type, "attn_output": _attention_output_type}.get(part_of(tensor.name))
    layer = layer_of(tensor.name)
    if special is None or layer is None:
        return base
    return TENSOR_TYPES[special(mix.type.name, layer, architecture) or base.name]


def _output_type(mix: Mix, width: int) -> TensorType:
    if mix.output:
        return mix.output
    if not mix.type.base.fits(width) or mix.type.base.name == "Q8_0":
        return TENSOR_TYPES["Q8_0"]
    return TENSOR_TYPES["Q6_K"]


def _value_type(name: str, layer: int, architecture: Architecture) -> str | None:
    kind = _plain_value_type(name, layer, architecture)
    base = {"Q3_K_S": "Q3_K"}.get(name)
    return "Q5_K" if architecture.is_70b and (kind or base) in ("Q3_K", "Q4_K") else kind


def _plain_value_type(name: str, layer: int, architecture: Architecture) -> str | None:
    grouped = architecture.grouping >= 4
    match name:
        case "Q2_K":
            return "Q4_K" if grouped else "Q3_K"
        case "Q3_K_M":
            return "Q5_K" if layer < 2 else "Q4_K"
        case "Q3_K_L":
            return "Q5_K"
        case "IQ4_NL" | "IQ4_XS":
            return "Q5_K" if grouped else None
        case "Q4_K_S":
            return "Q5_K" if layer < 4 else "Q4_K"
        case "Q4_K_M" | "Q5_K_M" if _more_bits(layer, architecture.layers):
            return "Q6_K"
        case "Q4_K_M":
            return "Q4_K"
    return None


def _down_type(name: str, layer: int, architecture: Architecture) -> str | None:
    first_eighth = layer < architecture.layers // 8
    match name:
        case "Q2_K":
            return "Q3_K"
        case "Q3_K_M":
            return "Q5_K" if layer < architecture.layers // 16 else "Q4_K"
        case "Q3_K_L":
            return "Q5_K"
        case "IQ4_NL" | "IQ4_XS" | "Q4_K_S" if first_eighth:
            return "Q5_K"
        case "Q4_K_M" | "Q5_K_M" if _more_bits(layer, architecture.layers):
            return "Q6_K"
    return None


def _attention_output_type(name: str, layer: int, architecture: Architecture) -> str | None:
    return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(name)


def _more_bits(layer: int, layers: int) -> bool:
    """The first and last eighth of the layers and every third between."""
    first, last = layers // 8, 7 * layers // 8
    return layer < first or layer >= last or (layer - first) % 3 == 2
