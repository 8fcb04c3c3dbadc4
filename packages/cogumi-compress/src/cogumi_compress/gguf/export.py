"""Writes a Hugging Face Llama directory as a GGUF file, on the `gguf` package, without torch or transformers.

One tensor at a time goes from a mapped safetensors file to the output, so memory is that of the largest tensor. The same
directory always gives the same bytes: no time, path or version is written. Left out: other architectures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import numpy.typing as npt
from gguf.quants import quantize

from cogumi_compress.gguf.quant_types import FILE_TYPES, lossless_type
from cogumi_compress.hf.safetensors_files import StoredTensor, list_tensors
from cogumi_compress.hf.tokenizer_files import Tokenizer, read_tokenizer
from cogumi_core import InputError
from cogumi_core.formats.gguf.types import TENSOR_TYPES
from cogumi_core.formats.json_files import read_object
from cogumi_core.formats.llama.config import LlamaConfig, read_config
from cogumi_core.formats.llama.names import ROPE_FREQS
from cogumi_core.formats.llama.rows import interleave_halves
from cogumi_core.formats.llama.shapes import ARCHITECTURE, LlamaTensor, llama_tensors

_EXPONENTS: Final = {"F16": 0x7C00, "BF16": 0x7F80}
_IGNORED: Final = re.compile(r"rotary_emb\.inv_freq$")
Progress = Callable[[float, float | None, str], None]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """`dtype`: F32, F16 or BF16, of the matrices (vectors are always F32); `source_dtype`: the narrowest that holds the stored
    weights exactly. `notes` are sentences a person should read."""

    dtype: str
    source_dtype: str
    tensors: int
    nbytes: int
    notes: tuple[str, ...] = ()


def export_gguf(
    model_dir: Path,
    path: Path,
    dtype: str | None = None,
    *,
    identity: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Writes the Hugging Face Llama in `model_dir` to the GGUF file `path`, which appears only when it is complete.

    `dtype` is F32, F16 or BF16; None takes the narrowest that loses nothing. `identity` may hold `name` and `licence`.
    Raises InputError: not a Llama, damaged, a tokenizer llama.cpp does not have, weights that are not finite."""
    config = read_config(model_dir)
    stored = _match(config, list_tensors(model_dir), model_dir)
    tokenizer = read_tokenizer(model_dir, config.shape.vocabulary)
    source_dtype = lossless_type(source.dtype for _, source in stored)
    dtype = dtype or source_dtype
    temporary = path.with_name(f".{path.name}.part")
    writer = gguf.GGUFWriter(temporary, ARCHITECTURE)
    try:
        named = _identity(model_dir, identity or {})
        _write_header(writer, config, tokenizer, [tensor for tensor, _ in stored], dtype, named)
        _write_weights(writer, config, stored, dtype, progress)
        writer.close()
        temporary.replace(path)
    finally:
        writer.close()
        temporary.unlink(missing_ok=True)
    return ExportReport(dtype, source_dtype, len(stored), path.stat().st_size, tokenizer.notes)


def header_bytes(model_dir: Path, scratch: Path) -> int:
    """Bytes before the first weight in an exported file, padding included. Reads config and tokenizer, never weights."""
    config = read_config(model_dir)
    writer = gguf.GGUFWriter(scratch / "header.gguf", ARCHITECTURE)
    try:
        tokenizer = read_tokenizer(model_dir, config.shape.vocabulary)
        _write_header(writer, config, tokenizer, list(llama_tensors(config.shape)), "F32", _identity(model_dir, {}))
        writer.flush()
        size = (scratch / "header.gguf").stat().st_size
    finally:
        writer.close()
        (scratch / "header.gguf").unlink(missing_ok=True)
    return int(gguf.GGUFWriter.ggml_pad(size, gguf.GGUF_DEFAULT_ALIGNMENT))


def _write_header(
    writer: gguf.GGUFWriter,
    config: LlamaConfig,
    tokenizer: Tokenizer,
    tensors: list[LlamaTensor],
    dtype: str,
    identity: Mapping[str, str],
) -> None:
    _describe(writer, config, dtype, identity)
    _describe_tokenizer(writer, tokenizer)
    _declare(writer, config, tensors, dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()


def _match(config: LlamaConfig, stored: dict[str, StoredTensor], model_dir: Path) -> list[tuple[LlamaTensor, StoredTensor]]:
    """Each tensor of the architecture with the one that is stored; nothing may be missing, left over or of another shape."""
    wanted = list(llama_tensors(config.shape))
    missing = [tensor.source for tensor in wanted if tensor.source not in stored]
    ignored = {"lm_head.weight"} if config.shape.tied else set()  # some models store the tied matrix twice
    extra = sorted(set(stored) - {tensor.source for tensor in wanted} - ignored)
    extra = [name for name in extra if not _IGNORED.search(name)]
    if missing or extra:
        what = (
            f"{len(missing)} tensors are missing, first {missing[0]}"
            if missing
            else f"{len(extra)} tensors are unknown, first {extra[0]}"
        )
        message = f"{model_dir}: the weights do not fit config.json: {what}; fetch or save the model again"
        raise InputError(message)
    pairs = [(tensor, stored[tensor.source]) for tensor in wanted]
    for tensor, source in pairs:
        if tensor.shape != source.shape:
            message = (
                f"{model_dir}: {tensor.source} has shape {list(source.shape)}, config.json says {list(tensor.shape)}; "
                "save the model and its config together"
            )
            raise InputError(message)
    return pairs


def _identity(model_dir: Path, given: Mapping[str, Any]) -> dict[str, str]:
    """Name and licence: from earlier stages, or what the model's own files say. Never the folder's name: it is no content."""
    config, card = read_object(model_dir / "config.json"), model_dir / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    head = text.split("---", 2)[1] if text.startswith("---") and text.count("---") > 1 else ""
    licence = re.search(r"^license:\s*[\"']?([\w.+-]+)", head, re.MULTILINE)
    named = config.get("_name_or_path") or config.get("_model_name_or_path") or ""
    found = {"name": str(named).rstrip("/").rsplit("/", 1)[-1], "licence": licence[1] if licence else ""}
    found |= {key: given[key] for key in ("name", "licence") if isinstance(given.get(key), str)}
    return {key: value for key, value in found.items() if value}


def _describe(writer: gguf.GGUFWriter, config: LlamaConfig, dtype: str, identity: Mapping[str, str]) -> None:
    writer.add_type("model")
    if "name" in identity:
        writer.add_name(identity["name"])
    if "licence" in identity:
        writer.add_license(identity["licence"])
    shape, rope = config.shape, config.rope
    writer.add_block_count(shape.layers)
    writer.add_context_length(config.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads_kv)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(rope.theta)
    if rope.linear_factor is not None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope.linear_factor)
    writer.add_layer_norm_rms_eps(config.rms_eps)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(FILE_TYPES[dtype].number)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _describe_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(list(tokenizer.tokens))
    writer.add_token_types(list(tokenizer.types))
    writer.add_token_merges(list(tokenizer.merges))
    for name, index in tokenizer.special_ids.items():
        getattr(writer, f"add_{name}_token_id")(index)
    writer.add_add_bos_token(tokenizer.add_bos)
    writer.add_add_eos_token(tokenizer.add_eos)
    writer.add_add_space_prefix(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _declare(writer: gguf.GGUFWriter, config: LlamaConfig, tensors: list[LlamaTensor], dtype: str) -> None:
    for tensor in tensors:
        kind = _stored_as(tensor, dtype)
        size = TENSOR_TYPES[kind].bytes_of(tensor.weights)
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), size, gguf.GGMLQuantizationType[kind])
    if config.rope.llama3:
        writer.add_tensor_info(ROPE_FREQS, (config.shape.head_dim // 2,), np.dtype(np.float32), config.shape.head_dim * 2)


def _stored_as(tensor: LlamaTensor, dtype: str) -> str:
    return dtype if len(tensor.shape) > 1 else "F32"  # llama.cpp adds and multiplies vectors in F32 only


def _write_weights(
    writer: gguf.GGUFWriter,
    config: LlamaConfig,
    stored: list[tuple[LlamaTensor, StoredTensor]],
    dtype: str,
    progress: Progress | None,
) -> None:
    done, total = 0, sum(source.nbytes for _, source in stored)
    for tensor, source in stored:
        values = source.read()
        _check_finite(values, source)
        if tensor.heads:
            values = interleave_halves(values, tensor.heads)
        writer.write_tensor_data(np.ascontiguousarray(convert(values, source.dtype, _stored_as(tensor, dtype), source.name)))
        done += source.nbytes
        if progress:
            progress(done, total, "bytes")
    if config.rope.llama3:
        divisors = config.rope.llama3.divisors(config.shape.head_dim, config.rope.theta)
        writer.write_tensor_data(np.array(divisors, np.float32))


def _check_finite(values: npt.NDArray[Any], source: StoredTensor) -> None:
    if source.dtype == "F32":
        finite = bool(np.isfinite(values).all())
    else:
        mask = _EXPONENTS[source.dtype]
        finite = not ((values.view(np.uint16) & mask) == mask).any()
    if not finite:
        message = (
            f"{source.file}: {source.name} holds values that are not finite numbers (NaN or infinity); the model is broken: "
            "train it again, or fetch it again"
        )
        raise InputError(message)


def convert(values: npt.NDArray[Any], source: str, target: str, name: str) -> npt.NDArray[Any]:
    """Values of float type `source` as `target`; BF16 is raw uint16 on both sides. Raises InputError where F16 overflows."""
    if source == target:
        return values
    if source == "BF16":
        wide = (values.astype(np.uint32) << 16).view(np.float32)
    else:
        wide = values.astype(np.float32)
    if target == "F32":
        return wide
    if target == "BF16":
        raw: npt.NDArray[Any] = quantize(wide, gguf.GGMLQuantizationType.BF16)
        return raw.view(np.uint16)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float16)
    if not np.isfinite(narrow).all():
        message = f"{name} has values beyond 65504, the largest number F16 holds; choose BF16, F32 or a quantised type"
        raise InputError(message)
    return narrow
