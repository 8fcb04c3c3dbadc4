"""Writes a PEFT LoRA as the adapter file that llama.cpp loads, without llama.cpp's own scripts.

What a writer has to know: llama.cpp stores the rows of the query and key projections in another order than Hugging Face, so B
of both is reordered the same way; it divides alpha by the rank of *each* tensor, so the scale is folded into B and alpha is
written as 0, which means a scale of 1; rank and row lengths must suit the number format. The file names the base it belongs to
by digest: on any other base an adapter loads and answers nonsense.

Left out: adapters on embeddings, DoRA, biases and fully trained modules: llama.cpp cannot load them or our trainers never make
them.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import gguf
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.torch import load_file

from cogumi_core import InputError
from cogumi_core.formats.gguf.header import read_header
from cogumi_core.formats.json_files import read_object
from cogumi_core.formats.llama.names import LINEAR, gguf_name, part_of
from cogumi_core.formats.llama.rows import interleave_halves
from cogumi_core.formats.llama.shapes import ARCHITECTURE, LlamaShape, heads_of, shape_of_gguf

TensorType = Literal["f32", "f16", "q8_0"]
Array = npt.NDArray[np.float32]
DIGEST_KEY: Final = "cogumi.base.digest"
"""sha256, in hex, of the base file: the engine refuses the adapter on any other."""
DOMAIN_KEY: Final = "cogumi.domain"

_MODULE = re.compile(r"(model\.layers\..+)\.lora_([AB])\.weight$")
_TYPES: Final = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
_BLOCK: Final = 32  # values that share a scale in q8_0; a row must be a multiple


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """What an adapter must fit: the model's shape, that of every matrix [out, in] by GGUF name, the file's sha256."""

    digest: str
    shape: LlamaShape
    matrices: Mapping[str, tuple[int, ...]]


def export_adapter(peft: Path, base: Path, output: Path, *, domain: str, tensor_type: TensorType = "f16") -> None:
    """Writes the adapter in the folder `peft`, trained on the GGUF file `base`, to `output`; the same input, the same bytes.

    Raises InputError: files missing or damaged, an adapter of an unsupported kind, one that does not fit the base, or a rank
    the number format cannot hold."""
    config, weights = _read_peft(peft)
    facts = read_base(base)
    pairs = _pairs(weights, config, facts)
    writer = gguf.GGUFWriter(None, ARCHITECTURE)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)
    writer.add_string(DIGEST_KEY, facts.digest)
    writer.add_string(DOMAIN_KEY, domain)
    for name, (a, b) in sorted(pairs.items(), key=lambda item: _natural(item[0])):
        _add(writer, f"{name}.lora_a", a, tensor_type)
        _add(writer, f"{name}.lora_b", b, tensor_type)
    _write(writer, output)


def read_base(path: Path) -> BaseFacts:
    """Raises InputError for a file that is not a whole GGUF model of a Llama kind."""
    header = read_header(path)
    matrices = {tensor.name: tensor.shape for tensor in header.tensors if len(tensor.shape) == 2}
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return BaseFacts(digest, shape_of_gguf(header), matrices)


def _read_peft(folder: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    try:
        config = read_object(folder / "adapter_config.json")
        tensors = load_file(folder / "adapter_model.safetensors")
    except (InputError, OSError, SafetensorError) as exc:
        message = f"{folder}: not a PEFT adapter ({exc}); adapter_config.json and adapter_model.safetensors are expected"
        raise InputError(message) from exc
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("bias", "none") != "none":
        message = f"{folder}: only plain LoRA adapters without DoRA and biases can be written as GGUF"
        raise InputError(message)
    return config, {name: tensor.float().numpy() for name, tensor in tensors.items()}


def _pairs(weights: Mapping[str, Array], config: Mapping[str, Any], facts: BaseFacts) -> dict[str, tuple[Array, Array]]:
    """A [rank, in] and B [out, rank] by GGUF name, B scaled and in llama.cpp's order."""
    found: dict[str, dict[str, Array]] = {}
    scales: dict[str, float] = {}
    for key, tensor in weights.items():
        match = _MODULE.search(key)
        name = gguf_name(f"{match[1]}.weight") if match else None
        if match is None or name is None or part_of(name) not in LINEAR:
            message = f"the adapter changes '{key}', which a GGUF adapter cannot carry; train {', '.join(LINEAR.values())} only"
            raise InputError(message)
        found.setdefault(name, {})[match[2]] = tensor
        scales[name] = _scale(config, key)
    return {name: _pair(name, halves, scales[name], facts) for name, halves in found.items()}


def _pair(name: str, halves: Mapping[str, Array], scale: float, facts: BaseFacts) -> tuple[Array, Array]:
    a, b = halves["A"], halves["B"]
    if facts.matrices.get(name) != (b.shape[0], a.shape[1]) or a.shape[0] != b.shape[1]:
        message = (
            f"the adapter's {name} is {b.shape[0]} x {a.shape[1]}, the base's is {facts.matrices.get(name, 'not there')}: "
            "it was trained on another model"
        )
        raise InputError(message)
    heads = heads_of(part_of(name), facts.shape)
    return a, (interleave_halves(b, heads) if heads else b) * np.float32(scale)


def _scale(config: Mapping[str, Any], key: str) -> float:
    """alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA, where patterns may set both for each layer."""
    rank, alpha = config["r"], config["lora_alpha"]
    module = key.partition(".lora_")[0]
    for pattern, value in (config.get("rank_pattern") or {}).items():
        rank = value if _applies(pattern, module) else rank
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        alpha = value if _applies(pattern, module) else alpha
    return float(alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _applies(pattern: str, module: str) -> bool:
    """PEFT's own rule: a whole name from some dot on, or a regular expression for it."""
    return re.match(rf"(.*\.)?({pattern})$", module) is not None


def _natural(name: str) -> tuple[int, str]:
    _, layer, rest = name.split(".", 2)
    return int(layer), rest


def _add(writer: gguf.GGUFWriter, name: str, tensor: Array, tensor_type: TensorType) -> None:
    kind = _TYPES[tensor_type]
    if tensor_type == "q8_0" and tensor.shape[1] % _BLOCK:
        message = f"{name} has rows of {tensor.shape[1]}; q8_0 needs a multiple of {_BLOCK}: change lora_r or adapter_type"
        raise InputError(message)
    if tensor_type == "q8_0":
        writer.add_tensor(name, gguf.quantize(np.ascontiguousarray(tensor), kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, np.ascontiguousarray(tensor.astype(np.float16 if tensor_type == "f16" else np.float32)))


def _write(writer: gguf.GGUFWriter, output: Path) -> None:
    """Into a file of another name first, so that an existing adapter is a whole one."""
    temporary = output.with_name(f".{output.name}.tmp")
    writer.write_header_to_file(temporary)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    temporary.replace(output)
