"""The compressor `gguf`: a Hugging Face Llama or a GGUF file in, one GGUF file of the asked type out.

A Hugging Face model is first written as it is (the narrowest float type that loses nothing) and then quantised by llama.cpp, so
the weights are rounded once. A GGUF file that is quantised already is rounded again, and the report says so; one that has every
tensor in the asked type is copied unchanged.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogumi_compress.gguf.allocation import Assignment, Mix, allocate, fallback_summary
from cogumi_compress.gguf.facts import facts_of, lost_zeros
from cogumi_compress.gguf.files import MODEL, gguf_file, is_hugging_face, publish
from cogumi_compress.gguf.quant_types import FILE_TYPES
from cogumi_compress.gguf.quantize import quantize_gguf
from cogumi_compress.gguf.settings import EXACT, GgufSettings
from cogumi_core import JSON, ModelRef, ModelReport, RunContext
from cogumi_core.formats.gguf.header import GgufHeader, read_header
from cogumi_core.formats.gguf.types import FLOATS, TENSOR_TYPES
from cogumi_core.formats.llama.shapes import check_gguf, shape_of_gguf


@dataclass(frozen=True, slots=True)
class GgufCompressor:
    """Writes `model.gguf`. Same input and settings, same bytes; threads do not change them."""

    settings: GgufSettings
    services: Any = None

    def compress(self, model: ModelRef, output: Path, run: RunContext) -> ModelReport:
        """Raises InputError: not a Llama, damaged, a type that does not fit; EngineError: llama.cpp failed."""
        made = self._from_hugging_face(model, run) if is_hugging_face(model.path) else self._from_gguf(model, run)
        header = read_header(made.file)
        warnings = list(lost_zeros(header, model.facts))
        for sentence in (*made.notes, *warnings):
            run.log(sentence)
        facts = facts_of(header, model.facts, unchanged=made.lossless)
        metrics = {**describe(header), **made.metrics, "notes": list(made.notes), "warnings": warnings}
        publish(made.file, output / MODEL)
        return ModelReport(facts, lossless=made.lossless, metrics=metrics)

    def _from_hugging_face(self, model: ModelRef, run: RunContext) -> _Made:
        from cogumi_compress.gguf.export import export_gguf

        mix = None if self.settings.type == EXACT else mix_of(self.settings)
        direct = mix is None or (mix.type.is_float and not (mix.embedding or mix.output))
        exported = run.scratch / (MODEL if direct else "exported.gguf")
        dtype = mix.type.name if mix and direct else None
        report = export_gguf(model.path, exported, dtype, identity=model.facts.other, progress=run.progress)
        # A type that does not fit its tensor is found here, before llama.cpp would abort on it.
        assigned = allocation(read_header(exported), mix) if mix else []
        metrics = {
            "fallbacks": list(fallback_summary(assigned)),
            "exported_as": report.dtype,
            "weights_exact": direct and report.dtype in ("F32", report.source_dtype),
        }
        if mix is None or direct:
            return _Made(exported, metrics, report.notes)
        quantised = self._quantize(exported, mix, run)
        exported.unlink()
        return _Made(quantised, metrics, report.notes)

    def _from_gguf(self, model: ModelRef, run: RunContext) -> _Made:
        source = gguf_file(model.path)
        header = read_header(source)
        check_gguf(header)
        mix = None if self.settings.type == EXACT else mix_of(self.settings)
        assigned = allocation(header, mix) if mix else []
        changed = [old for old, new in zip(header.tensors, assigned, strict=True) if old.type is not new.kind] if mix else []
        again = [tensor for tensor in changed if tensor.type.name not in FLOATS]
        metrics = {
            "fallbacks": list(fallback_summary(assigned)),
            "unchanged": not changed,
            "tensors_changed": len(changed),
            "tensors_quantised_again": len(again),
        }
        if mix is None or not changed:
            run.progress(0, header.file_size, "bytes")
            copied = Path(shutil.copyfile(source, run.scratch / MODEL))
            run.progress(header.file_size, header.file_size, "bytes")
            types = f"in the types of {mix.type.name} already" if mix else "as it is to stay"
            return _Made(copied, metrics, (f"{source.name} has every tensor {types}: copied unchanged",), lossless=True)
        note = f"{len(again)} tensors of {source.name} were quantised already and are rounded a second time"
        return _Made(self._quantize(source, mix, run), metrics, (note,) if again else ())

    def _quantize(self, source: Path, mix: Mix, run: RunContext) -> Path:
        target = run.scratch / MODEL
        quantize_gguf(source, target, mix, threads=self.settings.threads, progress=run.progress)
        return target


@dataclass(frozen=True, slots=True)
class _Made:
    """A finished file in the scratch folder, and what is to be said of it. `lossless`: it is the input, bit for bit."""

    file: Path
    metrics: Mapping[str, JSON]
    notes: tuple[str, ...] = ()
    lossless: bool = False


def mix_of(settings: GgufSettings) -> Mix:
    """The settings as the rules of `allocation` take them; not of `exact`, which is no type."""
    embedding, output = settings.token_embedding_type, settings.output_type
    return Mix(
        FILE_TYPES[settings.type],
        settings.pure,
        TENSOR_TYPES[embedding] if embedding else None,
        TENSOR_TYPES[output] if output else None,
    )


def allocation(header: GgufHeader, mix: Mix) -> list[Assignment]:
    """The types that `mix` gives the tensors of a file."""
    shape = shape_of_gguf(header)
    return allocate(header.tensors, mix, layers=shape.layers, grouping=shape.grouping)


def describe(header: GgufHeader) -> dict[str, JSON]:
    """Exact figures of a file: all bytes, bits a weight (tensor bytes, scales included, over weights), tensors by type."""
    return {
        "bytes": header.file_size,
        "tensor_bytes": header.tensor_bytes,
        "weights": header.weights,
        "bits_per_weight": header.bits_per_weight,
        "tensor_types": dict(sorted(Counter(tensor.type.name for tensor in header.tensors).items())),
    }
