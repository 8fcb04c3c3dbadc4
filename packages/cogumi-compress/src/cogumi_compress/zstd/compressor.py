"""The compressor `zstd`: packs `model.gguf` into `model.gguf.zst`, bit for bit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cogumi_compress.gguf.files import gguf_file, publish
from cogumi_compress.zstd.pack import PackReport, pack
from cogumi_compress.zstd.settings import ZstdSettings
from cogumi_core import JSON, ModelRef, ModelReport, RunContext
from cogumi_core.formats.gguf.header import read_header

PACKED: Final = "model.gguf.zst"


@dataclass(frozen=True, slots=True)
class ZstdCompressor:
    """Writes `model.gguf.zst`, after unpacking it once and comparing SHA-256."""

    settings: ZstdSettings
    services: Any = None

    def compress(self, model: ModelRef, output: Path, run: RunContext) -> ModelReport:
        """The packed model is the same model: all its facts hold. Raises InputError when the input is not a whole GGUF file."""
        source = gguf_file(model.path)
        read_header(source)
        started = time.monotonic()
        packed = run.scratch / PACKED
        settings = self.settings
        report = pack(
            source,
            packed,
            level=settings.level,
            threads=settings.threads,
            dictionary_bytes=settings.dictionary,
            progress=run.progress,
        )
        publish(packed, output / PACKED)
        return ModelReport(model.facts, lossless=True, metrics=_metrics(report, time.monotonic() - started))


def _metrics(report: PackReport, seconds: float) -> dict[str, JSON]:
    metrics: dict[str, JSON] = {
        "bytes": report.nbytes,
        "unpacked_bytes": report.size,
        "ratio": report.nbytes / report.size,
        "sha256": report.sha256,
        "dictionary_bytes": report.dictionary,
        "seconds": round(seconds, 3),
    }
    if report.with_dictionary is not None:
        metrics |= {"bytes_with_dictionary": report.with_dictionary, "bytes_without_dictionary": report.without_dictionary}
    return metrics
