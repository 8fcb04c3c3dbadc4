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
import json
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

from cogumi_core.api.errors import InputError

TensorType = Literal["f32", "f16", "q8_0"]
Array = npt.NDArray[np.float32]
DIGEST_KEY: Final = "cogumi.base.digest"
"""sha256, in hex, of the base file: the engine refuses the adapter on any other."""
DOMAIN_KEY: Final = "cogumi.domain"
ARCHITECTURE: Final = "llama"

_MODULE = re.compile(r"\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])\.weight$")
_NAMES: Final = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
TARGET_MODULES: Final = tuple(_NAMES)
"""Every linear layer of a Llama block, by Hugging Face's names."""
_TYPES: Final = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
_BLOCK: Final = 32  # values that share a scale in q8_0; a row must be a multiple


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """What an adapter must fit: heads, the shape [out, in] of every linear layer by GGUF name, the file's sha256."""

    digest: str
    heads: int
    kv_heads: int
    shapes: Mapping[str, tuple[int, int]]


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
        _add(writer, f"{name}.weight.lora_a", a, tensor_type)
        _add(writer, f"{name}.weight.lora_b", b, tensor_type)
    _write(writer, output)


def read_base(path: Path) -> BaseFacts:
    """Raises InputError for a file that is not a whole GGUF model of a Llama kind."""
    try:
        reader = gguf.GGUFReader(path)
        heads = int(reader.fields[f"{ARCHITECTURE}.attention.head_count"].contents())
        kv_field = reader.fields.get(f"{ARCHITECTURE}.attention.head_count_kv")
    except (OSError, ValueError, KeyError, IndexError) as exc:
        message = f"{path}: not a GGUF model of a Llama kind, or damaged ({exc}); an adapter needs the base it was trained on"
        raise InputError(message) from exc
    # GGUF gives shapes innermost first.
    shapes = {t.name.removesuffix(".weight"): (int(t.shape[1]), int(t.shape[0])) for t in reader.tensors if len(t.shape) == 2}
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return BaseFacts(digest, heads, int(kv_field.contents()) if kv_field else heads, shapes)


def permute_rows(weights: Array, heads: int) -> Array:
    """Rows [heads * size, n] from Hugging Face's order to llama.cpp's: rotary pairs, half a head apart in the former, become
    neighbours."""
    rows, columns = weights.shape
    return weights.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _read_peft(folder: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, SafetensorError) as exc:
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
        if match is None or match[2] not in _NAMES:
            message = f"the adapter changes '{key}', which a GGUF adapter cannot carry; train {', '.join(_NAMES)} only"
            raise InputError(message)
        name = f"blk.{match[1]}.{_NAMES[match[2]]}"
        found.setdefault(name, {})[match[3]] = tensor
        scales[name] = _scale(config, key)
    return {name: _pair(name, halves, scales[name], facts) for name, halves in found.items()}


def _pair(name: str, halves: Mapping[str, Array], scale: float, facts: BaseFacts) -> tuple[Array, Array]:
    a, b = halves["A"], halves["B"]
    if facts.shapes.get(name) != (b.shape[0], a.shape[1]) or a.shape[0] != b.shape[1]:
        message = (
            f"the adapter's {name} is {b.shape[0]} x {a.shape[1]}, the base's is {facts.shapes.get(name, 'not there')}: "
            "it was trained on another model"
        )
        raise InputError(message)
    if name.endswith("attn_q"):
        b = permute_rows(b, facts.heads)
    elif name.endswith("attn_k"):
        b = permute_rows(b, facts.kv_heads)
    return a, b * np.float32(scale)


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
