"""A file packed with Zstandard that knows what it must unpack to.

A packed file is a standard `.zst` stream: `zstd -d` reads it (where it carries no dictionary). Before the data stands one
skippable frame (RFC 8878, section 3.1.2), which decoders step over, with JSON: SHA-256 and size of the original, the size of
the packed file, and the length of a dictionary that follows in a second such frame. So a packed file verifies itself wherever
it is copied.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import zstandard

from cogumi_core import InputError

SKIPPABLE: Final = (0x184D2A5C).to_bytes(4, "little")
FORMAT: Final = 1
CHUNK: Final = 4 << 20
_INFO_BYTES: Final = 256  # JSON filled up with spaces, so that it can be written again once the packed size is known
_SAMPLE: Final = 16 << 10
_SAMPLES_PER_DICTIONARY: Final = 100  # Zstandard's own advice: about a hundred times the dictionary's size
Progress = Callable[[float, float | None, str], None]


@dataclass(frozen=True, slots=True)
class PackedInfo:
    """What a packed file says of itself. `dictionary`: bytes of it inside the file. `data_offset`: where the stream begins."""

    sha256: str
    size: int
    dictionary: int
    data_offset: int


@dataclass(frozen=True, slots=True)
class PackReport:
    """`nbytes` of the packed file; `without_dictionary` / `with_dictionary`: the two sizes compared, where they were."""

    sha256: str
    size: int
    nbytes: int
    dictionary: int = 0
    without_dictionary: int | None = None
    with_dictionary: int | None = None


def pack(
    source: Path,
    target: Path,
    *,
    level: int = 10,
    threads: int = 0,
    dictionary_bytes: int = 0,
    progress: Progress | None = None,
) -> PackReport:
    """Packs `source` into `target`, which appears only when it is complete and unpacks to the same SHA-256.

    The bytes depend on content, level and dictionary size, not on `threads` (0: all cores). Raises InputError: no such file."""
    steps = _Steps(source, 2 * (2 if dictionary_bytes else 1) + 1, progress)
    sha256 = _hash(source, steps)
    plain = target.with_name(f".{target.name}.part")
    trial = target.with_name(f".{target.name}.dictionary.part")
    try:
        without = _compress(source, plain, sha256, level, threads, b"", steps)
        report = PackReport(sha256, source.stat().st_size, without)
        trained = _train(source, dictionary_bytes)
        if trained:
            with_it = _compress(source, trial, sha256, level, threads, trained, steps)
            used = len(trained) if with_it < without else 0
            report = PackReport(sha256, report.size, min(without, with_it), used, without, with_it)
            if used:
                trial.replace(plain)
        _unpack_into(plain, None, steps)
        plain.replace(target)
    finally:
        plain.unlink(missing_ok=True)
        trial.unlink(missing_ok=True)
    return report


def unpack(path: Path, destination: Path, progress: Progress | None = None) -> PackedInfo:
    """Unpacks `path` to the file `destination`, which appears only when its SHA-256 is the packed one. Raises InputError."""
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as out:
            info = _unpack_into(path, out, _Steps(path, 1, progress))
        temporary.replace(destination)
    finally:
        temporary.unlink(missing_ok=True)
    return info


def read_info(path: Path) -> PackedInfo:
    """What the first frame says. Raises InputError for a file that `pack` did not write, or that was cut short since."""
    with path.open("rb") as file:
        payload = _skippable(file)
    try:
        row = json.loads(payload or b"")
        found = PackedInfo(str(row["sha256"]), int(row["size"]), int(row["dictionary"]), 8 + _INFO_BYTES)
        packed = int(row["packed"])
    except (ValueError, KeyError, TypeError) as exc:
        message = f"{path}: not a file packed by Cogumi, or damaged in its first bytes; other .zst files unpack with: zstd -d"
        raise InputError(message) from exc
    if packed != path.stat().st_size:
        message = f"{path}: damaged: {path.stat().st_size:,} bytes, {packed:,} when it was packed; fetch or pack it again"
        raise InputError(message)
    return found


class _Steps:
    """Progress over several passes through one file."""

    def __init__(self, path: Path, passes: int, progress: Progress | None) -> None:
        if not path.is_file():
            message = f"{path}: no such file"
            raise InputError(message)
        self.done, self.total, self.progress = 0, path.stat().st_size * passes, progress

    def add(self, count: int) -> None:
        self.done += count
        if self.progress:
            self.progress(min(self.done, self.total), self.total, "bytes")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _hash(source: Path, steps: _Steps) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(source):
        digest.update(chunk)
        steps.add(len(chunk))
    return digest.hexdigest()


def _compress(source: Path, target: Path, sha256: str, level: int, threads: int, dictionary: bytes, steps: _Steps) -> int:
    size = source.stat().st_size
    # Never 0 threads: Zstandard's single-threaded path cuts its blocks elsewhere, and the bytes would depend on the setting.
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, source_size=size, threads=max(1, threads or os.cpu_count() or 1), write_checksum=1, write_content_size=1
    )
    data = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    stream = zstandard.ZstdCompressor(compression_params=parameters, dict_data=data).compressobj(size=size)
    info: dict[str, str | int] = {"cogumi": FORMAT, "sha256": sha256, "size": size, "dictionary": len(dictionary)}
    with target.open("wb") as out:
        _write_info(out, info)
        if dictionary:
            _write_skippable(out, dictionary)
        for chunk in _chunks(source):
            out.write(stream.compress(chunk))
            steps.add(len(chunk))
        out.write(stream.flush())
        packed = out.tell()
        out.seek(0)
        _write_info(out, {**info, "packed": packed})
    return packed


def _unpack_into(path: Path, out: BinaryIO | None, steps: _Steps) -> PackedInfo:
    """Decompresses and checks size and SHA-256; `out` None only checks."""
    info = read_info(path)
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        file.seek(info.data_offset)
        dictionary = (_skippable(file) or b"") if info.dictionary else b""
        data = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        try:
            with zstandard.ZstdDecompressor(dict_data=data).stream_reader(file, closefd=False) as reader:
                while size <= info.size and (chunk := reader.read(CHUNK)):
                    size += len(chunk)
                    digest.update(chunk)
                    if out:
                        out.write(chunk)
                    steps.add(len(chunk))
        except zstandard.ZstdError as exc:
            message = f"{path}: damaged or cut short ({exc}); fetch or pack it again"
            raise InputError(message) from exc
    if size != info.size or digest.hexdigest() != info.sha256:
        message = (
            f"{path}: damaged: it unpacks to {size:,} bytes with another SHA-256 than the {info.size:,} that were packed; "
            "fetch or pack it again"
        )
        raise InputError(message)
    return info


def _train(source: Path, size: int) -> bytes:
    """A dictionary of at most `size` bytes from pieces spread evenly over the file; empty where none can be trained."""
    if not size:
        return b""
    total = source.stat().st_size
    count = min(total // _SAMPLE, max(8, size * _SAMPLES_PER_DICTIONARY // _SAMPLE))
    with source.open("rb") as file:
        samples: list[bytes | bytearray | memoryview[int]] = [_piece(file, total * i // count) for i in range(count)]
    try:
        return zstandard.train_dictionary(size, samples, d=8, k=256).as_bytes() if samples else b""
    except zstandard.ZstdError:
        return b""


def _piece(file: BinaryIO, offset: int) -> bytes:
    file.seek(offset)
    return file.read(_SAMPLE)


def _write_info(out: BinaryIO, info: Mapping[str, str | int]) -> None:
    _write_skippable(out, json.dumps(info, sort_keys=True, separators=(",", ":")).encode().ljust(_INFO_BYTES))


def _write_skippable(out: BinaryIO, payload: bytes) -> None:
    out.write(SKIPPABLE + len(payload).to_bytes(4, "little") + payload)


def _skippable(file: BinaryIO) -> bytes | None:
    head = file.read(8)
    if head[:4] != SKIPPABLE:
        return None
    return file.read(int.from_bytes(head[4:], "little"))
