"""Packing is lossless, verifies itself, and does not depend on threads."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import zstandard
from compress_support import context

from cogumi_compress.zstd.compressor import ZstdCompressor
from cogumi_compress.zstd.pack import pack, read_info, unpack
from cogumi_compress.zstd.settings import ZstdSettings
from cogumi_core import InputError, Interrupted, ModelFacts, ModelRef, ModelReport, Vocabulary


def compress(path: Path, folder: Path, **settings: Any) -> ModelReport:
    model = ModelRef(path, "gguf", "0" * 64)
    return ZstdCompressor(ZstdSettings(**settings)).compress(model, folder / "output", context(folder))


def repetitive(path: Path, size: int = 3_000_000) -> Path:
    """Bytes that pack, with more structure than a random model."""
    path.write_bytes(b"".join(hashlib.sha256(str(i % 9973).encode()).digest() for i in range(size // 32)))
    return path


@pytest.mark.model
def test_the_real_model_comes_back_bit_for_bit(smollm_gguf: Path, tmp_path: Path) -> None:
    report = compress(smollm_gguf, tmp_path, level=3)
    unpack(tmp_path / "output" / "model.gguf.zst", tmp_path / "back.gguf")
    assert (tmp_path / "back.gguf").read_bytes() == smollm_gguf.read_bytes()
    assert report.lossless
    assert report.metrics["sha256"] == hashlib.sha256(smollm_gguf.read_bytes()).hexdigest()
    assert report.metrics["bytes"] < report.metrics["unpacked_bytes"]


def test_the_packed_model_is_the_same_model_so_all_its_facts_hold(tiny_gguf: Path, tmp_path: Path) -> None:
    facts = ModelFacts({"ffn": 0.5}, "2:4", Vocabulary(32000, 128256, "English"), "Q5_0", {"mine": {"masks": "abc"}})
    report = ZstdCompressor(ZstdSettings()).compress(
        ModelRef(tiny_gguf, "gguf", "", facts), tmp_path / "output", context(tmp_path)
    )
    assert report.facts == facts


@pytest.mark.parametrize("level", [1, 10, 19, 22])
@pytest.mark.parametrize("dictionary", [0, 4096])
def test_every_level_comes_back_bit_for_bit(level: int, dictionary: int, tiny_gguf: Path, tmp_path: Path) -> None:
    report = pack(tiny_gguf, tmp_path / "packed.zst", level=level, dictionary_bytes=dictionary)
    unpack(tmp_path / "packed.zst", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == tiny_gguf.read_bytes()
    assert report.nbytes == (tmp_path / "packed.zst").stat().st_size


@pytest.mark.parametrize("dictionary", [0, 8192])
def test_the_bytes_do_not_depend_on_threads(dictionary: int, tmp_path: Path) -> None:
    source = repetitive(tmp_path / "data", 9_000_000)
    packed = []
    for threads in (0, 1, 2, 5):
        pack(source, tmp_path / f"{threads}.zst", level=3, threads=threads, dictionary_bytes=dictionary)
        packed.append((tmp_path / f"{threads}.zst").read_bytes())
    assert len(set(packed)) == 1


def test_a_dictionary_is_kept_only_where_the_file_with_it_is_smaller(tmp_path: Path) -> None:
    for name, data in (("alike", repetitive(tmp_path / "a")), ("long repeats", repetitive(tmp_path / "b", 200_000))):
        report = pack(data, tmp_path / "packed.zst", level=1, dictionary_bytes=32768)
        assert report.with_dictionary is not None, name
        assert (report.dictionary > 0) == (report.with_dictionary < (report.without_dictionary or 0))
        assert report.nbytes == min(report.with_dictionary, report.without_dictionary or 0)
        assert read_info(tmp_path / "packed.zst").dictionary == report.dictionary


def test_a_file_packed_with_a_dictionary_carries_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made to win here: many small files alike would, but a model is one long stream."""
    from cogumi_compress.zstd import pack as zstd_pack

    source, compressed = repetitive(tmp_path / "data"), zstd_pack._compress

    def heavier_without(*args: Any) -> int:
        return compressed(*args) + (10**9 if not args[5] else 0)

    monkeypatch.setattr(zstd_pack, "_compress", heavier_without)
    assert pack(source, tmp_path / "packed.zst", dictionary_bytes=16384).dictionary > 0
    unpack(tmp_path / "packed.zst", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_any_zstd_decoder_reads_a_packed_file(tiny_gguf: Path, tmp_path: Path) -> None:
    pack(tiny_gguf, tmp_path / "packed.zst")
    with (tmp_path / "packed.zst").open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False)
        assert reader.read() == tiny_gguf.read_bytes()


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the zstd command")
def test_the_zstd_command_reads_a_packed_file(tiny_gguf: Path, tmp_path: Path) -> None:
    pack(tiny_gguf, tmp_path / "packed.zst")
    subprocess.run(["zstd", "-q", "-d", str(tmp_path / "packed.zst"), "-o", str(tmp_path / "back")], check=True)
    assert (tmp_path / "back").read_bytes() == tiny_gguf.read_bytes()


def test_content_size_and_checksum_are_in_the_stream(tiny_gguf: Path, tmp_path: Path) -> None:
    pack(tiny_gguf, tmp_path / "packed.zst")
    frame = zstandard.get_frame_parameters(
        (tmp_path / "packed.zst").read_bytes()[read_info(tmp_path / "packed.zst").data_offset :]
    )
    assert (frame.content_size, frame.has_checksum) == (tiny_gguf.stat().st_size, True)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_one_changed_byte_is_noticed(share: float, tiny_gguf: Path, tmp_path: Path) -> None:
    pack(tiny_gguf, tmp_path / "packed.zst")
    data = bytearray((tmp_path / "packed.zst").read_bytes())
    data[int(len(data) * share)] ^= 0x55
    (tmp_path / "packed.zst").write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        unpack(tmp_path / "packed.zst", tmp_path / "back")
    assert [path.name for path in tmp_path.iterdir()] == ["packed.zst"]


@pytest.mark.parametrize("missing", [1, 100, 50_000])
def test_a_truncated_packed_file_is_refused(missing: int, tiny_gguf: Path, tmp_path: Path) -> None:
    pack(tiny_gguf, tmp_path / "packed.zst")
    data = (tmp_path / "packed.zst").read_bytes()
    (tmp_path / "packed.zst").write_bytes(data[:-missing])
    with pytest.raises(InputError, match="damaged"):
        unpack(tmp_path / "packed.zst", tmp_path / "back")


def test_other_zst_files_are_refused_with_the_way_to_unpack_them(tmp_path: Path) -> None:
    (tmp_path / "other.zst").write_bytes(zstandard.compress(b"something"))
    with pytest.raises(InputError, match=r"not a file packed by Cogumi.* zstd -d"):
        unpack(tmp_path / "other.zst", tmp_path / "back")


def test_something_other_than_gguf_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"text")
    with pytest.raises(InputError, match="not a GGUF file"):
        compress(tmp_path / "model.gguf", tmp_path)
    assert list((tmp_path / "output").iterdir()) == []


def test_an_interruption_leaves_the_output_empty(tiny_gguf: Path, tmp_path: Path) -> None:
    def stop(done: float, total: float | None = None, unit: str = "") -> None:
        raise Interrupted("asked to stop")

    run = context(tmp_path, progress=stop)
    with pytest.raises(Interrupted):
        ZstdCompressor(ZstdSettings()).compress(ModelRef(tiny_gguf, "gguf", ""), tmp_path / "output", run)
    assert list((tmp_path / "output").iterdir()) == []
