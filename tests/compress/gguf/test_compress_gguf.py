"""The compressor `gguf`: what it writes, what it says, and that it writes nothing when it fails."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compress_support import context, edit_json, llama_logits, open_llama, relative_error, write_tiny
from gguf import GGUFReader
from safetensors.numpy import load_file, save_file

from cogumi_compress.gguf.compressor import GgufCompressor
from cogumi_compress.gguf.export import export_gguf
from cogumi_compress.gguf.settings import GgufSettings
from cogumi_core import EngineError, InputError, Interrupted, ModelFacts, ModelRef, ModelReport
from cogumi_core.formats.gguf.header import read_header

WIDE = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 9, "num_key_value_heads": 1}


def compress(path: Path, folder: Path, facts: ModelFacts | None = None, **settings: Any) -> ModelReport:
    model = ModelRef(path, "hf" if path.is_dir() else "gguf", "0" * 64, facts or ModelFacts())
    return GgufCompressor(GgufSettings(**settings)).compress(model, folder / "output", context(folder))


def written(folder: Path) -> Path:
    assert [path.name for path in (folder / "output").iterdir()] == ["model.gguf"]
    return folder / "output" / "model.gguf"


# Relative error of the logits of a random model; about twice what was seen, so that a wrong block layout stands out.
@pytest.mark.parametrize(
    ("kind", "bound"),
    [("Q4_0", 1.0), ("Q8_0", 0.2), ("Q4_K_M", 0.9), ("IQ4_XS", 1.0), ("F16", 0.01), ("BF16", 0.06), ("F32", 0.0)],
)
def test_a_hugging_face_model_becomes_one_file_that_llama_cpp_runs(kind: str, bound: float, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model", **WIDE)
    report = compress(folder, tmp_path, type=kind)
    assert report.metrics["bytes"] == written(tmp_path).stat().st_size
    export_gguf(folder, tmp_path / "exact.gguf", "F32")
    found, exact = (llama_logits(path, [1, 5, 6]) for path in (written(tmp_path), tmp_path / "exact.gguf"))
    assert relative_error(found, exact) <= bound


@pytest.mark.model
@pytest.mark.parametrize("source", ["hf", "gguf"])
def test_smollm2_answers_ends_its_turn_and_keeps_its_template(
    source: str, smollm_dir: Path, smollm_gguf: Path, tmp_path: Path
) -> None:
    compress(smollm_dir if source == "hf" else smollm_gguf, tmp_path, type="Q5_0")
    with open_llama(written(tmp_path), n_ctx=512) as model:
        question = [{"role": "user", "content": "What is 2+2?"}]
        choice = model.create_chat_completion(question, temperature=0.0, max_tokens=64)["choices"][0]  # type: ignore[index,arg-type]
        assert "4" in choice["message"]["content"]
        assert choice["finish_reason"] == "stop"
        assert "<|im_start|>assistant" in model.metadata["tokenizer.chat_template"]
        assert model.token_eos() == 2


@pytest.mark.parametrize("kind", ["Q5_0", "Q4_K_M", "BF16"])
def test_the_same_input_gives_the_same_bytes_whatever_the_threads(kind: str, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model", **WIDE)
    for threads in (1, 3):
        compress(folder, tmp_path / f"{threads}", type=kind, threads=threads)
    first, second = (written(tmp_path / f"{threads}").read_bytes() for threads in (1, 3))
    assert first == second


def test_the_folder_name_does_not_change_the_bytes(tmp_path: Path) -> None:
    first = write_tiny(tmp_path / "first")
    shutil.copytree(first, tmp_path / "second")
    for name in ("first", "second"):
        export_gguf(tmp_path / name, tmp_path / f"{name}.gguf")
    assert (tmp_path / "first.gguf").read_bytes() == (tmp_path / "second.gguf").read_bytes()


def test_figures_are_those_of_the_file(tmp_path: Path) -> None:
    report = compress(write_tiny(tmp_path / "model", **WIDE), tmp_path, type="Q4_K_M")
    tensors = GGUFReader(written(tmp_path)).tensors
    weights = sum(int(tensor.n_elements) for tensor in tensors)
    assert report.metrics["weights"] == weights
    assert report.metrics["bits_per_weight"] == sum(int(tensor.n_bytes) for tensor in tensors) * 8 / weights
    assert sum(report.metrics["tensor_types"].values()) == len(tensors)


def test_a_width_that_k_quants_cannot_take_is_named(tmp_path: Path) -> None:
    report = compress(write_tiny(tmp_path / "model", intermediate_size=256), tmp_path, type="Q4_K_M")
    found = {(row["wanted"], row["got"], row["reason"]): row["tensors"] for row in report.metrics["fallbacks"]}
    assert "blk.0.attn_q.weight" in found["Q4_K", "Q5_0", "width 64 is not a multiple of 256"]
    assert not any("blk.0.ffn_down.weight" in names for names in found.values())


def test_a_gguf_of_the_asked_type_is_copied_and_said_to_be_unchanged(tmp_path: Path) -> None:
    compress(write_tiny(tmp_path / "model"), tmp_path, type="Q4_1")
    report = compress(written(tmp_path), tmp_path / "again", type="q4_1")
    assert report.metrics["unchanged"] is True
    assert report.lossless
    assert written(tmp_path / "again").read_bytes() == written(tmp_path).read_bytes()


def test_a_gguf_is_quantised_again_and_the_report_says_so(tiny_dir: Path, tmp_path: Path) -> None:
    compress(tiny_dir, tmp_path, type="Q8_0")
    report = compress(written(tmp_path), tmp_path / "again", type="Q4_0", pure=True)
    assert report.metrics["unchanged"] is False
    assert report.metrics["tensors_quantised_again"] == 16
    before, after = read_header(written(tmp_path)), read_header(written(tmp_path / "again"))
    for key in ("tokens", "merges", "token_type"):
        assert after.array(f"tokenizer.ggml.{key}") == before.array(f"tokenizer.ggml.{key}")


def test_a_bf16_source_is_not_narrowed_on_the_way(tmp_path: Path) -> None:
    """Values that F16 cannot hold reach the quantiser."""
    folder = write_tiny(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"] *= 1e6
    save_file(tensors, folder / "model.safetensors")
    compress(folder, tmp_path, type="Q8_0")
    with pytest.raises(InputError, match="beyond 65504, the largest number F16 holds; choose BF16"):
        compress(folder, tmp_path / "narrow", type="F16")


def test_named_types_of_embedding_and_output_are_honoured(tiny_dir: Path, tmp_path: Path) -> None:
    compress(tiny_dir, tmp_path, type="Q4_0", token_embedding_type="q5_1", output_type="q8_0")
    kinds = {tensor.name: tensor.type.name for tensor in read_header(written(tmp_path)).tensors}
    assert (kinds["token_embd.weight"], kinds["output.weight"], kinds["blk.0.attn_q.weight"]) == ("Q5_1", "Q8_0", "Q4_0")


@pytest.mark.parametrize(("kind", "warned"), [("Q4_1", True), ("Q5_0", False), ("IQ4_NL", True), ("Q8_0", False)])
def test_a_pruned_model_in_a_type_without_zeros_gets_a_warning(kind: str, warned: bool, tiny_dir: Path, tmp_path: Path) -> None:
    report = compress(tiny_dir, tmp_path, ModelFacts({"attention": 0.5}), type=kind, pure=True)
    assert bool(report.metrics["warnings"]) is warned


@pytest.mark.parametrize(("kind", "kept"), [("Q4_1", False), ("Q5_0", True), ("Q8_0", True), ("Q4_0", True)])
def test_types_that_are_said_to_keep_zeros_keep_them(kind: str, kept: bool, tmp_path: Path) -> None:
    from gguf.quants import dequantize

    folder = write_tiny(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    tensors[name][:, ::2] = 0.0
    save_file(tensors, folder / "model.safetensors")
    compress(folder, tmp_path, type=kind)
    found = next(t for t in GGUFReader(written(tmp_path)).tensors if t.name == "blk.0.ffn_up.weight")
    assert bool((dequantize(found.data, found.tensor_type)[:, ::2] == 0).all()) is kept


def test_name_and_licence_are_kept(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model", _name_or_path="/somewhere/SmolLM2-tiny")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: en\n---\n# Card\n", encoding="utf-8")
    compress(folder, tmp_path, type="Q8_0")
    metadata = read_header(written(tmp_path)).metadata
    assert (metadata["general.name"], metadata["general.license"]) == ("SmolLM2-tiny", "apache-2.0")


def test_progress_goes_up_to_its_total(tiny_dir: Path, tmp_path: Path) -> None:
    seen: list[tuple[float, float | None, str]] = []
    run = context(tmp_path, progress=lambda done, total=None, unit="": seen.append((done, total, unit)))
    model = ModelRef(tiny_dir, "hf", "0" * 64)
    GgufCompressor(GgufSettings(type="Q4_0")).compress(model, tmp_path / "output", run)
    for unit in ("bytes", "tensors"):
        steps = [(done, total) for done, total, what in seen if what == unit]
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]


@pytest.mark.parametrize("unit", ["bytes", "tensors"])
def test_an_interruption_leaves_the_output_empty(unit: str, tiny_dir: Path, tmp_path: Path) -> None:
    def stop(done: float, total: float | None = None, what: str = "") -> None:
        if what == unit:
            raise Interrupted("asked to stop")

    model = ModelRef(tiny_dir, "hf", "0" * 64)
    with pytest.raises(Interrupted):
        GgufCompressor(GgufSettings(type="Q4_0")).compress(model, tmp_path / "output", context(tmp_path, progress=stop))
    assert list((tmp_path / "output").iterdir()) == []


def test_a_failure_of_llama_cpp_comes_with_its_own_words(tiny_gguf: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "nan.gguf"
    shutil.copy(tiny_gguf, damaged)
    tensor = next(t for t in read_header(damaged).tensors if t.name == "blk.0.attn_q.weight")
    with damaged.open("r+b") as file:
        file.seek(tensor.offset)
        file.write(np.full(64, np.nan, np.float32).tobytes())
    with pytest.raises(EngineError, match=r"llama\.cpp could not quantise .*(?i:nan|invalid)"):
        compress(damaged, tmp_path, type="Q4_0")
    assert list((tmp_path / "output").iterdir()) == []


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"][3, 4] = np.inf
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"lm_head.weight holds values that are not finite"):
        compress(folder, tmp_path, type="F32")


NOT_LLAMA = {
    "architectures": ({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}, "Qwen2ForCausalLM .*Supported: Llama"),
    "quantised": ({"quantization_config": {"quant_method": "awq"}}, r"quantised \(awq\); .*dequantise it first"),
    "activation": ({"hidden_act": "gelu"}, "hidden_act 'gelu' cannot be expressed"),
    "rope": ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "rope scaling 'longrope' cannot be expressed"),
    "incomplete": ({"hidden_size": None}, "not the configuration of a Llama model: .*hidden_size"),
    "shapes": ({"intermediate_size": 128}, r"has shape \[96, 64\], config.json says \[128, 64\]"),
    "missing weights": ({"num_hidden_layers": 3}, "9 tensors are missing, first model.layers.2"),
    "weights left over": ({"num_hidden_layers": 1}, "9 tensors are unknown, first model.layers.1"),
}


@pytest.mark.parametrize("case", NOT_LLAMA)
def test_a_model_that_gguf_cannot_express_is_refused(case: str, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model")
    changes, message = NOT_LLAMA[case]
    edit_json(folder / "config.json", **changes)
    with pytest.raises(InputError, match=message):
        compress(folder, tmp_path, type="Q4_0")
    assert list((tmp_path / "output").iterdir()) == []
