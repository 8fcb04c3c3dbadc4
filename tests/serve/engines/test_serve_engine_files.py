"""Files that are not what they should be get one clear message, before llama.cpp is asked."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from processes import finished
from serve_support import MODEL, write_adapter

from cogumi_core import EngineError, InputError, OpenOptions
from cogumi_core.formats.gguf.header import read_header
from cogumi_core.formats.gguf.types import BY_NUMBER
from cogumi_serve.engines.llama_cpp.engine import LlamaCppEngine


def tiny_gguf(path: Path, architecture: str, **numbers: int) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in numbers.items():
        writer.add_uint16(key.replace("_", "."), value)
    writer.add_tensor("x.weight", np.zeros((4, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def damaged(folder: Path, base: Path, name: str) -> Path:
    path = folder / "model.gguf"
    head = base.read_bytes()[: 1 << 20]
    makers = {
        "missing": lambda: None,
        "a folder": lambda: path.mkdir(),
        "empty": lambda: path.write_bytes(b""),
        "text": lambda: path.write_text("hello, I am not a model"),
        "header cut": lambda: path.write_bytes(head[:500]),
        "tensors cut": lambda: path.write_bytes(base.read_bytes()[:-1000]),
        "version": lambda: path.write_bytes(b"GGUF" + struct.pack("<I", 99) + head[8:]),
        "absurd counts": lambda: path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60) + head[24:]),
        "other kind": lambda: tiny_gguf(path, "mamba"),
        "split": lambda: tiny_gguf(path, "llama", split_count=3),
        "adapter": lambda: write_adapter(path, 0),
    }
    makers[name]()
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "no such file"),
        ("a folder", "no such file"),
        ("empty", "not a GGUF file"),
        ("text", "not a GGUF file"),
        ("header cut", "damaged or cut short"),
        ("tensors cut", r"cut short: tensor output_norm.weight ends at byte 98,362,432, the file has 98,361,432"),
        ("version", "GGUF version 99"),
        ("absurd counts", "damaged or cut short"),
        ("other kind", "architecture 'mamba'; only 'llama' is supported"),
        ("split", "split into 3 files"),
        ("adapter", "an adapter, not a model"),
    ],
)
def test_a_file_that_is_no_whole_llama_model_is_refused(
    engine: LlamaCppEngine, base_path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    path = damaged(tmp_path, base_path, name)
    with pytest.raises(InputError, match=said) as caught:
        engine.open(path, OpenOptions())
    assert str(path) in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_what_only_llama_cpp_can_notice_is_reported_in_its_words(
    engine: LlamaCppEngine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"could not load this model: .*key not found"):
        engine.open(tiny_gguf(tmp_path / "model.gguf", "llama"), OpenOptions())
    assert capfd.readouterr() == ("", "")


@pytest.mark.model
@pytest.mark.parametrize(
    ("architecture", "said"), [("gemma", "an adapter for a 'gemma' model, the base is 'llama'"), ("llama", "")]
)
def test_only_an_adapter_for_this_kind_of_base_is_loaded(
    engine: LlamaCppEngine, base_path: Path, tmp_path: Path, architecture: str, said: str
) -> None:
    adapter = write_adapter(tmp_path / "adapter.gguf", 0, arch=architecture)
    if said:
        with pytest.raises(InputError, match=said):
            engine.open(base_path, OpenOptions(adapters={"a": adapter}))
    else:
        engine.open(base_path, OpenOptions(adapters={"a": adapter})).close()


@pytest.mark.model
def test_a_model_is_not_an_adapter(engine: LlamaCppEngine, base_path: Path) -> None:
    with pytest.raises(InputError, match="not a LoRA adapter"):
        engine.open(base_path, OpenOptions(adapters={"a": base_path}))


@pytest.mark.model
def test_a_name_is_taken_once(engine: LlamaCppEngine, base_path: Path, adapter_paths: dict[str, Path]) -> None:
    with (
        engine.open(base_path, OpenOptions(adapters=adapter_paths)) as session,
        pytest.raises(EngineError, match="is loaded already"),
    ):
        session.load_adapter("alpha", adapter_paths["alpha"])


def test_the_sizes_of_all_quantisations_agree_with_the_gguf_package() -> None:
    known = {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()}
    ours = {number: (kind.block, kind.block_bytes) for number, kind in BY_NUMBER.items()}
    assert {kind: size for kind, size in ours.items() if kind in known} == {k: s for k, s in known.items() if k in ours}


def test_a_header_is_read_without_its_arrays(base_path: Path) -> None:
    header = read_header(base_path)
    assert header.text("general.architecture") == "llama"
    assert header.metadata["tokenizer.ggml.tokens"].count == 49152
    assert {tensor.name: tensor.shape for tensor in header.tensors}["token_embd.weight"] == (49152, 576)
    assert header.tensors[-1].offset + header.tensors[-1].nbytes <= base_path.stat().st_size


@pytest.mark.model
def test_a_program_that_never_closes_a_session_ends_quietly() -> None:
    program = f"""
from cogumi_core.api.locate import locate
from cogumi_core import GenerateRequest, Message, OpenOptions
from cogumi_serve.engines.settings import LlamaCppSettings
from cogumi_serve.engines.llama_cpp.engine import LlamaCppEngine
session = LlamaCppEngine(LlamaCppSettings(), None).open(locate({MODEL!r}), OpenOptions(context_tokens=128))
answer = session.stream(GenerateRequest((Message("user", "hi"),), schema={{"type": "string"}}))
next(answer)
"""
    done = finished(sys.executable, "-X", "dev", "-W", "error", "-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
