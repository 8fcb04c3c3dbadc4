"""`cogumi size` and the forecasts count what is in the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from compress_support import LLAMA3_ROPE, context, write_tiny
from pydantic import ValidationError

from cogumi_compress.gguf.compressor import GgufCompressor
from cogumi_compress.gguf.settings import GgufSettings
from cogumi_compress.size.commands import size
from cogumi_compress.size.estimate import gguf_estimate
from cogumi_compress.size.size import read_model, type_sizes
from cogumi_compress.zstd.settings import ZstdSettings
from cogumi_core import Estimate, InputError, ModelRef


def sized(*arguments: str | Path) -> dict[str, Any]:
    result = CliRunner().invoke(size, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    row: dict[str, Any] = json.loads(result.output)
    return row


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_K_M", "BF16"])
@pytest.mark.parametrize("config", [{}, {"tie_word_embeddings": True, "rope_scaling": LLAMA3_ROPE}])
def test_a_size_is_exact_before_the_file_exists(kind: str, config: dict[str, Any], tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model", **config)
    forecast = next(row for row in sized(folder)["types"] if row["name"] == kind)
    model = ModelRef(folder, "hf", "")
    report = GgufCompressor(GgufSettings(type=kind)).compress(model, tmp_path / "output", context(tmp_path))
    assert forecast["nbytes"] == report.metrics["bytes"]
    assert forecast["bits"] == report.metrics["bits_per_weight"]
    assert gguf_estimate(GgufSettings(type=kind), {"model": model}) == Estimate(bytes=report.metrics["bytes"])


def test_groups_and_tensors_add_up_to_the_total(tiny_gguf: Path) -> None:
    row = sized(tiny_gguf)
    for key in ("weights", "bytes"):
        assert sum(group[key] for group in row["groups"].values()) == row["total"][key]
    assert sum(tensor["bytes"] for tensor in row["tensors"]) == row["total"]["bytes"]
    assert row["total"]["bytes"] + row["header_bytes"] <= row["file_bytes"]


def test_a_config_alone_gives_the_same_tensor_bytes(tiny_dir: Path) -> None:
    alone, whole = sized(tiny_dir / "config.json"), sized(tiny_dir)
    assert [row["bits"] for row in alone["types"]] == [row["bits"] for row in whole["types"]]
    assert {b["nbytes"] - a["nbytes"] for a, b in zip(alone["types"], whole["types"], strict=True)} == {whole["header_bytes"]}


def test_a_target_names_the_largest_type_that_fits_and_its_margin(tiny_gguf: Path) -> None:
    rows = {row.name: row.nbytes for row in type_sizes(read_model(tiny_gguf))}
    target = rows["Q5_0"] + 100
    result = CliRunner().invoke(size, [str(tiny_gguf), "--target", str(target)])
    assert f"The largest that fits into {target:,} bytes is Q5_0: {rows['Q5_0']:,} bytes, 100 to spare." in result.output
    assert "a mix chosen tensor by tensor to use the whole target is not computed" in result.output


def test_a_target_that_nothing_meets_is_said(tiny_gguf: Path) -> None:
    result = CliRunner().invoke(size, [str(tiny_gguf), "--target", "1kB"])
    assert result.exit_code == 0
    assert "No type fits into 1,000 bytes: the smallest" in result.output


def test_a_wrong_target_says_how_to_write_one(tiny_gguf: Path) -> None:
    result = CliRunner().invoke(size, [str(tiny_gguf), "--target", "many"])
    assert result.exit_code == 2
    assert "write 140MB" in result.output


def test_the_table_has_a_line_for_each_tensor_without_control_codes(tiny_gguf: Path) -> None:
    result = CliRunner().invoke(size, [str(tiny_gguf)])
    assert all(tensor.name in result.output for tensor in read_model(tiny_gguf).entries)
    assert "\x1b" not in result.output


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither config.json nor model.gguf"):
        read_model(tmp_path)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_estimate_of_an_exact_export_is_that_of_the_type_the_weights_have(dtype: Any, tmp_path: Path) -> None:
    model = ModelRef(write_tiny(tmp_path / "model", dtype=dtype), "hf", "")
    settings = GgufSettings(type="exact")
    report = GgufCompressor(settings).compress(model, tmp_path / "output", context(tmp_path))
    assert gguf_estimate(settings, {"model": model}) == Estimate(bytes=report.metrics["bytes"])
    made = ModelRef(tmp_path / "output" / "model.gguf", "gguf", "")
    assert gguf_estimate(settings, {"model": made}) == Estimate(bytes=report.metrics["bytes"])


def test_an_estimate_of_a_model_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert gguf_estimate(GgufSettings(), {}) == Estimate()
    assert gguf_estimate(GgufSettings(), {"model": ModelRef(tmp_path / "absent", "gguf", "")}) == Estimate()


NAMES = [("q4_k_m", "Q4_K_M"), ("Q4_K", "Q4_K_M"), ("q5-0", "Q5_0"), ("fp16", "F16"), (" bf16 ", "BF16")]


@pytest.mark.parametrize(("written", "name"), NAMES)
def test_types_are_read_as_people_write_them(written: str, name: str) -> None:
    assert GgufSettings(type=written).type == name


UNKNOWN = [
    ("Q4_KM", "Did you mean 'Q4_K_M'"),
    ("Q9_0", "Did you mean"),
    ("banana", "Known: F32, F16"),
    ("IQ2_M", "importance matrix"),
]


@pytest.mark.parametrize(("written", "message"), UNKNOWN)
def test_an_unknown_type_gets_near_names(written: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GgufSettings(type=written)


def test_exact_takes_no_types_beside_it() -> None:
    assert GgufSettings(type="Exact").type == "exact"
    with pytest.raises(ValidationError, match="leave token_embedding_type, output_type and pure out"):
        GgufSettings(type="exact", output_type="Q8_0")


@pytest.mark.parametrize(("written", "size"), [("off", 0), (False, 0), ("128KiB", 131072), (4096, 4096)])
def test_a_dictionary_is_a_size_or_off(written: object, size: int) -> None:
    assert ZstdSettings(dictionary=written).dictionary == size
