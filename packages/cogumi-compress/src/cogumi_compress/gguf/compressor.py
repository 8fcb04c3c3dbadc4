"""The compressor `gguf`: a Hugging Face Llama or a GGUF file in, one GGUF file of the asked type out.

A Hugging Face model is first written as it is (the narrowest float type that loses nothing) and then quantised by llama.cpp, so
the weights are rounded once. A GGUF file that is quantised already is rounded again, and the report says so; one that has every
tensor in the asked type is copied unchanged.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cogumi_compress.config import GgufSettings
from cogumi_compress.gguf.allocation import Assignment, Mix, allocate, fallback_summary
from cogumi_compress.gguf.quant_types import FILE_TYPES
from cogumi_compress.gguf.quantize import quantize_gguf
from cogumi_core.api.errors import InputError
from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import JSON, CompressionReport, ModelRef
from cogumi_core.formats.gguf.header import GgufHeader, read_header
from cogumi_core.formats.gguf.types import FLOATS, TENSOR_TYPES

MODEL: Final = "model.gguf"


@dataclass(frozen=True, slots=True)
class GgufCompressor:
    """Writes `model.gguf`. Same input and settings, same bytes; threads do not change them."""

    settings: GgufSettings
    services: Any = None

    def compress(self, model: ModelRef, output: Path, calibration: Iterable[str], run: RunContext) -> CompressionReport:
        """Raises InputError: not a Llama, damaged, a type that does not fit; EngineError: llama.cpp failed."""
        is_hugging_face = model.path.is_dir() and (model.path / "config.json").is_file()
        made = self._from_hugging_face(model, run) if is_hugging_face else self._from_gguf(model, run)
        header = read_header(made.file)
        warnings = list(lost_zeros(header, model.facts))
        for sentence in (*made.notes, *warnings):
            run.log(sentence)
        metrics = {**describe(header), **made.metrics, "notes": list(made.notes), "warnings": warnings}
        publish(made.file, output / MODEL)
        return CompressionReport(lossless=made.lossless, metrics=metrics, facts={"gguf_type": self.settings.type})

    def _from_hugging_face(self, model: ModelRef, run: RunContext) -> _Made:
        from cogumi_compress.gguf.export import export_gguf

        mix = mix_of(self.settings)
        direct = mix.type.is_float and not (mix.embedding or mix.output)
        exported = run.scratch / (MODEL if direct else "exported.gguf")
        report = export_gguf(model.path, exported, mix.type.name if direct else None, facts=model.facts, progress=run.progress)
        # A type that does not fit its tensor is found here, before llama.cpp would abort on it.
        assigned = allocation(read_header(exported), mix)
        metrics = {
            "fallbacks": list(fallback_summary(assigned)),
            "exported_as": report.dtype,
            "weights_exact": direct and report.dtype in ("F32", report.source_dtype),
        }
        if direct:
            return _Made(exported, metrics, report.notes)
        quantised = self._quantize(exported, mix, run)
        exported.unlink()
        return _Made(quantised, metrics, report.notes)

    def _from_gguf(self, model: ModelRef, run: RunContext) -> _Made:
        source, mix = gguf_file(model.path), mix_of(self.settings)
        header = read_header(source)
        check_llama(header)
        assigned = allocation(header, mix)
        changed = [old for old, new in zip(header.tensors, assigned, strict=True) if old.type is not new.kind]
        again = [tensor for tensor in changed if tensor.type.name not in FLOATS]
        metrics = {
            "fallbacks": list(fallback_summary(assigned)),
            "unchanged": not changed,
            "tensors_changed": len(changed),
            "tensors_quantised_again": len(again),
        }
        if not changed:
            copied = Path(shutil.copyfile(source, run.scratch / MODEL))
            note = f"{source.name} has every tensor in the types of {mix.type.name} already: copied unchanged"
            return _Made(copied, metrics, (note,), lossless=True)
        note = f"{len(again)} tensors of {source.name} were quantised already and are rounded a second time"
        return _Made(self._quantize(source, mix, run), metrics, (note,) if again else ())

    def _quantize(self, source: Path, mix: Mix, run: RunContext) -> Path:
        target = run.scratch / MODEL
        quantize_gguf(source, target, mix, threads=self.settings.threads, progress=run.progress)
        return target


@dataclass(frozen=True, slots=True)
class _Made:
    """A finished file in the scratch folder, and what is to be said of it."""

    file: Path
    metrics: Mapping[str, JSON]
    notes: tuple[str, ...] = ()
    lossless: bool = False


def mix_of(settings: GgufSettings) -> Mix:
    """The settings as the rules of `allocation` take them."""
    embedding, output = settings.token_embedding_type, settings.output_type
    return Mix(
        FILE_TYPES[settings.type],
        settings.pure,
        TENSOR_TYPES[embedding] if embedding else None,
        TENSOR_TYPES[output] if output else None,
    )


def allocation(header: GgufHeader, mix: Mix) -> list[Assignment]:
    """The types that `mix` gives the tensors of a file."""
    heads = header.number("llama.attention.head_count", 1)
    heads_kv = header.number("llama.attention.head_count_kv", heads)
    return allocate(header.tensors, mix, layers=header.number("llama.block_count"), grouping=heads // max(1, heads_kv))


def check_llama(header: GgufHeader) -> None:
    """Raises InputError for a GGUF file that is not a dense Llama in one piece."""
    if header.architecture != "llama":
        message = (
            f"{header.path}: not a Llama model: its architecture is '{header.architecture}'. Supported: GGUF files of the "
            "llama architecture, or a Hugging Face directory of LlamaForCausalLM"
        )
        raise InputError(message)
    if header.number("llama.expert_count") > 0:
        message = (
            f"{header.path}: a mixture of {header.number('llama.expert_count')} experts; only dense Llama models are supported"
        )
        raise InputError(message)
    if header.number("split.count") > 1:
        message = f"{header.path}: one of {header.number('split.count')} parts; join them first with llama-gguf-split --merge"
        raise InputError(message)


def gguf_file(path: Path) -> Path:
    """The GGUF file that a model's path means: itself, or `model.gguf` in a folder. Raises InputError."""
    if not path.is_dir():
        return path
    if (path / MODEL).is_file():
        return path / MODEL
    message = f"{path}: a folder with neither config.json nor {MODEL}; give a GGUF file or a Hugging Face directory"
    raise InputError(message)


def describe(header: GgufHeader) -> dict[str, JSON]:
    """Exact figures of a file: all bytes, bits a weight (tensor bytes, scales included, over weights), tensors by type."""
    return {
        "bytes": header.file_size,
        "tensor_bytes": header.tensor_bytes,
        "weights": header.weights,
        "bits_per_weight": header.bits_per_weight,
        "tensor_types": dict(sorted(Counter(tensor.type.name for tensor in header.tensors).items())),
    }


def lost_zeros(header: GgufHeader, facts: Mapping[str, JSON]) -> Iterable[str]:
    """A warning when an earlier stage pruned the model and this type does not keep the zeros."""
    if not (facts.get("sparsity") or facts.get("pruned")):
        return
    losing = [tensor for tensor in header.tensors if len(tensor.shape) > 1 and not tensor.type.keeps_zeros]
    if losing:
        kinds = ", ".join(sorted({tensor.type.name for tensor in losing}))
        yield (
            f"the model was pruned, but {len(losing)} tensors are stored as {kinds}, which turn exact zeros into small "
            "numbers; Q4_0, Q5_0, Q8_0, Q3_K and Q6_K keep them"
        )


def publish(written: Path, target: Path) -> None:
    """Moves a finished file into the output; it is there whole or not at all, also across file systems."""
    try:
        written.replace(target)
    except OSError:
        temporary = target.with_name(f".{target.name}.part")
        try:
            shutil.copyfile(written, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        written.unlink()
