"""Damaged and foreign files are refused with a clear message, before native code sees them."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path

import pytest
from compress_support import context, write_tiny
from gguf import GGUFReader, GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cogumi_compress.gguf.compressor import GgufCompressor
from cogumi_compress.gguf.settings import GgufSettings
from cogumi_compress.hf.safetensors_files import list_tensors
from cogumi_core import InputError, ModelRef
from cogumi_core.formats.gguf.header import read_header


def refused(path: Path, folder: Path, message: str) -> None:
    with pytest.raises(InputError, match=message):
        GgufCompressor(GgufSettings()).compress(ModelRef(path, "gguf", "0" * 64), folder / "output", context(folder))
    assert list((folder / "output").iterdir()) == []


def test_names_shapes_types_and_places_are_those_of_the_gguf_package(tiny_gguf: Path) -> None:
    reader = GGUFReader(tiny_gguf)
    expected = [
        (t.name, tuple(int(n) for n in t.shape)[::-1], t.tensor_type.name, t.data_offset, t.n_bytes) for t in reader.tensors
    ]
    header = read_header(tiny_gguf)
    assert [(t.name, t.shape, t.type.name, t.offset, t.nbytes) for t in header.tensors] == expected
    assert header.data_offset == reader.data_offset


def test_metadata_is_that_of_the_gguf_package(tiny_gguf: Path) -> None:
    header, fields = read_header(tiny_gguf), GGUFReader(tiny_gguf).fields
    for key, value in header.metadata.items():
        expected = fields[key].contents()
        assert (header.array(key) if isinstance(expected, list) else value) == expected


@pytest.mark.parametrize("share", [0.999, 0.5, 0.05, 0.001])
def test_a_truncated_file_is_refused(share: float, tiny_gguf: Path, tmp_path: Path) -> None:
    data = tiny_gguf.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(data[: int(len(data) * share)])
    refused(tmp_path / "cut.gguf", tmp_path, "cut short")


def test_a_file_that_is_not_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04 not a model at all")
    refused(tmp_path / "model.gguf", tmp_path, "not a GGUF file .it starts with b'PK")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "absent.gguf", tmp_path, "absent.gguf: no such file")


def test_an_unknown_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 9, 0, 0))
    refused(tmp_path / "model.gguf", tmp_path, "GGUF version 9")


def write_gguf(path: Path, architecture: str, **numbers: int) -> Path:
    writer = GGUFWriter(path, architecture)
    for key, value in numbers.items():
        writer.add_uint32(key.replace("__", "."), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


FOREIGN = [
    ("qwen2", {}, "architecture is 'qwen2'. Supported: GGUF files of the llama architecture"),
    ("llama", {"llama__expert_count": 8}, "a mixture of 8 experts"),
    ("llama", {"split__count": 3}, "one of 3 parts; join them first"),
]


@pytest.mark.parametrize(("architecture", "numbers", "message"), FOREIGN)
def test_a_gguf_that_is_no_dense_llama_is_refused(
    architecture: str, numbers: dict[str, int], message: str, tmp_path: Path
) -> None:
    refused(write_gguf(tmp_path / "model.gguf", architecture, **numbers), tmp_path, message)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(4, 2000), value=st.binary(min_size=1, max_size=8))
def test_any_damage_to_a_header_is_an_input_error_or_none(place: int, value: bytes, tiny_gguf: Path, tmp_path: Path) -> None:
    data = bytearray(tiny_gguf.read_bytes())
    data[place : place + len(value)] = value
    (tmp_path / "damaged.gguf").write_bytes(data)
    with contextlib.suppress(InputError):
        read_header(tmp_path / "damaged.gguf")


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def test_truncated_safetensors_are_refused(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model")
    cut(folder / "model.safetensors", (folder / "model.safetensors").stat().st_size - 10)
    with pytest.raises(InputError, match=r"cut short: .* ends at byte"):
        list_tensors(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\x05", b"\xff" * 100, (4).to_bytes(8, "little") + b"nope", (2).to_bytes(8, "little") + b"[]"]
)
def test_a_file_that_is_not_safetensors_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors"):
        list_tensors(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model", shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InputError, match=r"shard model-00002-of-00002.safetensors is listed .* and missing"):
        list_tensors(folder)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(InputError, match=r"Pickled weights .* are not read"):
        list_tensors(tmp_path)


def test_a_type_that_cannot_be_exported_is_named(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"ab")
    with pytest.raises(InputError, match="type F8_E4M3; F32, F16 and BF16 can be exported"):
        list_tensors(tmp_path)
