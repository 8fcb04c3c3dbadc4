"""The facts of a GGUF file are those of its own bytes, whatever was true of the model that it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from compress_support import context, write_tiny
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.numpy import load_file, save_file

from cogumi_compress.gguf.compressor import GgufCompressor
from cogumi_compress.gguf.settings import GgufSettings
from cogumi_core import ModelFacts, ModelRef, Vocabulary
from cogumi_core.formats.gguf.header import read_header
from cogumi_core.formats.llama.names import gguf_name, group_of

WIDE = {"hidden_size": 256, "intermediate_size": 512, "num_key_value_heads": 1}
PRUNED = ModelFacts({"attention": 0.5, "ffn": 0.5, "embeddings": 0.5}, "2:4")


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose matrices have two zeros in every four weights of a row."""
    folder = write_tiny(tmp_path_factory.mktemp("pruned"), **WIDE)
    tensors = load_file(folder / "model.safetensors")
    for values in tensors.values():
        if values.ndim > 1:
            values.reshape(-1, 4)[:, 1:3] = 0.0
    save_file(tensors, folder / "model.safetensors")
    return folder


def facts(path: Path, folder: Path, before: ModelFacts, **settings: Any) -> ModelFacts:
    model = ModelRef(path, "hf" if path.is_dir() else "gguf", "", before)
    return GgufCompressor(GgufSettings(**settings)).compress(model, folder / "output", context(folder)).facts


def matrices(path: Path) -> dict[str, npt.NDArray[Any]]:
    return {t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(path).tensors if len(t.shape) > 1}


def is_2_4(values: npt.NDArray[Any]) -> bool:
    return bool(((values.reshape(-1, 4) == 0).sum(axis=1) >= 2).all())


KEPT = [
    ({"type": "Q4_0"}, {"attention", "ffn", "embeddings"}),
    ({"type": "Q5_0", "token_embedding_type": "Q4_1"}, {"attention", "ffn"}),
    ({"type": "Q3_K_S"}, {"attention", "ffn", "embeddings"}),
    ({"type": "Q4_1", "token_embedding_type": "Q8_0", "output_type": "Q8_0"}, {"embeddings"}),
    ({"type": "Q4_K_M", "pure": True}, set()),
    ({"type": "BF16"}, {"attention", "ffn", "embeddings"}),
]


@pytest.mark.parametrize(("settings", "kept"), KEPT)
def test_a_pruned_model_stays_pruned_only_where_its_zeros_are_still_there(
    settings: dict[str, Any], kept: set[str], pruned: Path, tmp_path: Path
) -> None:
    found = facts(pruned, tmp_path, PRUNED, **settings)
    assert found.sparsity == {group: 0.5 for group in PRUNED.sparsity if group in kept}
    assert found.structure == ("2:4" if kept else "")
    whole = matrices(tmp_path / "output" / "model.gguf")
    assert {group for group in PRUNED.sparsity if all(is_2_4(whole[name]) for name in whole if group_of(name) == group)} == kept


def test_a_structure_without_shares_holds_only_if_no_matrix_loses_zeros(pruned: Path, tmp_path: Path) -> None:
    before = ModelFacts(structure="2:4")
    assert facts(pruned, tmp_path / "a", before, type="Q8_0").structure == "2:4"
    assert facts(pruned, tmp_path / "b", before, type="Q8_0", token_embedding_type="Q5_1").structure == ""


def test_a_group_that_is_not_ours_holds_only_if_no_matrix_loses_zeros(pruned: Path, tmp_path: Path) -> None:
    before = ModelFacts({"router": 0.5}, "unstructured")
    assert facts(pruned, tmp_path / "a", before, type="Q4_0").sparsity == {"router": 0.5}
    assert facts(pruned, tmp_path / "b", before, type="Q4_1") == ModelFacts(quantisation="Q4_1")


@pytest.mark.parametrize("kind", ["Q4_K_M", "Q5_0", "Q8_0", "F16"])
def test_the_quantisation_is_the_type_of_most_weights(kind: str, pruned: Path, tmp_path: Path) -> None:
    found = facts(pruned, tmp_path, ModelFacts(quantisation="awq"), type=kind)
    weights: dict[str, int] = {}
    for tensor in GGUFReader(tmp_path / "output" / "model.gguf").tensors:
        weights[tensor.tensor_type.name] = weights.get(tensor.tensor_type.name, 0) + int(tensor.n_elements)
    assert found.quantisation == max(weights, key=lambda name: weights[name])


def test_a_cut_vocabulary_stays_cut_and_what_is_said_of_old_weights_goes(pruned: Path, tmp_path: Path) -> None:
    vocabulary = Vocabulary(601, 49152, "English")
    before = ModelFacts(vocabulary=vocabulary, other={"name": "Tiny", "licence": "mit", "awq": {"scales": "abc"}})
    found = facts(pruned, tmp_path, before, type="Q4_0")
    assert found == ModelFacts(vocabulary=vocabulary, quantisation="Q4_0", other={"name": "Tiny", "licence": "mit"})
    metadata = read_header(tmp_path / "output" / "model.gguf").metadata
    assert (metadata["general.name"], metadata["general.license"]) == ("Tiny", "mit")


def test_a_vocabulary_of_another_size_is_not_that_of_the_file(pruned: Path, tmp_path: Path) -> None:
    before = ModelFacts(vocabulary=Vocabulary(300, 49152, "English"))
    assert facts(pruned, tmp_path, before, type="Q4_0").vocabulary is None


def test_a_file_that_is_copied_keeps_every_fact(pruned: Path, tmp_path: Path) -> None:
    facts(pruned, tmp_path, PRUNED, type="Q4_1")
    before = ModelFacts(other={"mine": 1}, quantisation="unknown")
    found = facts(tmp_path / "output" / "model.gguf", tmp_path / "again", before, type="Q4_1")
    assert found == ModelFacts(other={"mine": 1}, quantisation="Q4_1")


@pytest.mark.parametrize(("dtype", "kind"), [(np.float32, "F32"), (np.float16, "F16")])
def test_an_exact_export_holds_every_weight_as_it_is(dtype: Any, kind: str, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model", dtype=dtype)
    assert facts(folder, tmp_path, PRUNED, type="exact") == ModelFacts(PRUNED.sparsity, "2:4", quantisation=kind)
    written = {name: np.sort(values, axis=None) for name, values in matrices(tmp_path / "output" / "model.gguf").items()}
    for source, values in load_file(folder / "model.safetensors").items():
        name = gguf_name(source)
        if name in written:
            assert np.array_equal(written[name], np.sort(values.astype(np.float32), axis=None)), name


def test_an_exact_copy_of_a_gguf_is_that_file(tiny_gguf: Path, tmp_path: Path) -> None:
    before = ModelFacts({"ffn": 0.5}, "2:4", other={"mine": 1})
    found = facts(tiny_gguf, tmp_path, before, type="exact")
    assert found == ModelFacts({"ffn": 0.5}, "2:4", quantisation="F32", other={"mine": 1})
    assert (tmp_path / "output" / "model.gguf").read_bytes() == tiny_gguf.read_bytes()
