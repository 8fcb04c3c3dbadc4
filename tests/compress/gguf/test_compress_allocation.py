"""The forecast of types and bytes is what llama.cpp writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compress_support import quantize_directly, write_tiny

from cogumi_compress.gguf.allocation import Mix, allocate, padded_bytes
from cogumi_compress.gguf.compressor import allocation
from cogumi_compress.gguf.export import export_gguf
from cogumi_compress.gguf.quant_types import FILE_TYPES
from cogumi_compress.size.size import Entry
from cogumi_core import InputError
from cogumi_core.formats.gguf.header import read_header
from cogumi_core.formats.gguf.types import FLOATS, TENSOR_TYPES

WIDE = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 17, "num_attention_heads": 8}
MODELS: dict[str, dict[str, Any]] = {
    "two query heads a key head": {**WIDE, "num_key_value_heads": 4},
    "four query heads a key head, tied": {**WIDE, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "narrow": {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 9},
    "no multiple of 32": {"hidden_size": 80, "intermediate_size": 96},
}


@pytest.fixture(scope="module", params=MODELS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    export_gguf(write_tiny(folder / "hf", **MODELS[request.param]), folder / "model.gguf")
    return folder / "model.gguf"


def check(source: Path, target: Path, mix: Mix, **params: Any) -> None:
    quantize_directly(source, target, ftype=mix.type.number, pure=mix.pure, **params)
    header, forecast = read_header(source), allocation(read_header(source), mix)
    written = read_header(target)
    assert {item.name: item.kind.name for item in forecast} == {t.name: t.type.name for t in written.tensors}
    assert written.file_size == header.data_offset + padded_bytes(item.nbytes for item in forecast)


@pytest.mark.parametrize("name", FILE_TYPES)
def test_types_and_file_size_are_forecast_exactly(name: str, exported: Path, tmp_path: Path) -> None:
    check(exported, tmp_path / "out.gguf", Mix(FILE_TYPES[name]))


@pytest.mark.parametrize("name", [name for name in FILE_TYPES if name not in FLOATS])
def test_pure_types_are_forecast_exactly(name: str, exported: Path, tmp_path: Path) -> None:
    check(exported, tmp_path / "out.gguf", Mix(FILE_TYPES[name], pure=True))


@pytest.mark.parametrize("pure", [True, False])
@pytest.mark.parametrize("name", ["Q4_0", "Q4_K_M", "BF16"])
def test_named_types_of_embedding_and_output_are_forecast_exactly(name: str, pure: bool, tmp_path: Path) -> None:
    for tied in (True, False):
        folder = write_tiny(tmp_path / f"{tied}", tie_word_embeddings=tied, num_hidden_layers=2)
        export_gguf(folder, folder / "model.gguf")
        q8, q5 = TENSOR_TYPES["Q8_0"], TENSOR_TYPES["Q5_1"]
        mix = Mix(FILE_TYPES[name], pure, embedding=q8, output=q5)
        check(folder / "model.gguf", folder / "a.gguf", mix, token_embedding_type=q8.number, output_tensor_type=q5.number)
        mix = Mix(FILE_TYPES[name], pure, output=q5)
        check(folder / "model.gguf", folder / "b.gguf", mix, output_tensor_type=q5.number)


@pytest.mark.parametrize("name", ["Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q2_K"])
def test_eighty_layers_with_grouped_heads_are_treated_as_llama_70b(name: str, tmp_path: Path) -> None:
    config = {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 80, "num_key_value_heads": 1}
    folder = write_tiny(tmp_path / "model", **config)
    export_gguf(folder, tmp_path / "model.gguf")
    check(tmp_path / "model.gguf", tmp_path / "out.gguf", Mix(FILE_TYPES[name]))


def test_a_named_type_that_does_not_fit_is_refused_before_llama_cpp_aborts() -> None:
    mix = Mix(FILE_TYPES["Q4_0"], embedding=TENSOR_TYPES["Q6_K"])
    with pytest.raises(InputError, match="rows have 576 weights, no multiple of 256; choose Q8_0"):
        allocate([Entry("token_embd.weight", (100, 576), 57600)], mix, layers=1, grouping=1)
