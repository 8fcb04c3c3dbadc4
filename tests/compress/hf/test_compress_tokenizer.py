"""llama.cpp's token ids of an exported file are those of the Hugging Face tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import pytest
from compress_support import CORPUS, bos_template, edit_json, open_llama, write_tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from cogumi_compress.gguf.export import export_gguf
from cogumi_compress.hf.tokenizer_files import CONTROL, USER_DEFINED, read_tokenizer
from cogumi_core import InputError
from cogumi_core.formats.gguf.header import read_header

PRE_TOKENIZERS = ("smollm", "gpt-2", "llama-bpe", "dbrx", "qwen2")
Pair = tuple[Tokenizer, llama_cpp.Llama]


@pytest.fixture(scope="module", params=PRE_TOKENIZERS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A trained tokenizer of each kind, in both libraries."""
    folder = write_tiny(tmp_path_factory.mktemp("tokenizer") / "model", pre=request.param)
    export_gguf(folder, folder / "model.gguf")
    with open_llama(folder / "model.gguf", vocab_only=True) as model:
        yield Tokenizer.from_file(str(folder / "tokenizer.json")), model


@pytest.fixture(scope="module")
def smollm(smollm_dir: Path, smollm_bf16: Path) -> Iterator[Pair]:
    with open_llama(smollm_bf16, vocab_only=True) as model:
        yield Tokenizer.from_file(str(smollm_dir / "tokenizer.json")), model


SCALARS = st.characters(min_codepoint=32, exclude_categories=("Cs",))  # half a surrogate pair is no text


def same_ids(both: Pair, text: str) -> None:
    reference, model = both
    found = model.tokenize(text.encode(), add_bos=False, special=True)
    assert found == reference.encode(text, add_special_tokens=False).ids


def test_ids_of_each_kind_of_tokenizer_are_the_same(pair: Pair) -> None:
    for text in [*CORPUS, "<user_defined> x<user_defined>"]:
        same_ids(pair, text)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text())
def test_ids_of_any_text_are_the_same(pair: Pair, text: str) -> None:
    same_ids(pair, text)


@pytest.mark.model
def test_ids_of_smollm2_are_the_same_on_a_varied_corpus(smollm: Pair) -> None:
    for text in CORPUS:
        same_ids(smollm, text)


@pytest.mark.model
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(SCALARS) | st.text("0123456789 \n\t.'sSabT<|>_", max_size=40))
def test_ids_of_smollm2_are_the_same_on_any_text(smollm: Pair, text: str) -> None:
    same_ids(smollm, text)


@pytest.mark.model
def test_the_exported_vocabulary_is_that_of_the_models_own_gguf(smollm_gguf: Path, smollm_bf16: Path) -> None:
    own, exported = read_header(smollm_gguf), read_header(smollm_bf16)
    for key in ("tokens", "token_type", "merges"):
        assert exported.array(f"tokenizer.ggml.{key}") == own.array(f"tokenizer.ggml.{key}")
    for key in ("pre", "model", "bos_token_id", "eos_token_id", "padding_token_id", "add_bos_token"):
        assert exported.metadata[f"tokenizer.ggml.{key}"] == own.metadata[f"tokenizer.ggml.{key}"]
    assert exported.metadata["tokenizer.chat_template"] == own.metadata["tokenizer.chat_template"]


def test_special_and_added_tokens_keep_their_kind(tiny_dir: Path, tiny_gguf: Path) -> None:
    header = read_header(tiny_gguf)
    types = dict(zip(header.array("tokenizer.ggml.tokens"), header.array("tokenizer.ggml.token_type"), strict=True))
    assert types["<|im_end|>"] == CONTROL
    assert types["<user_defined>"] == USER_DEFINED


STOPS = [
    ({"eos_token_id": [2, 0]}, {}, "<|im_end|>", {"eos": 2, "eot": 2, "eom": 0}),
    ({"eos_token_id": 0}, {}, "<|im_end|>", {"eos": 2, "eot": 2, "eom": 0}),
    ({"eos_token_id": [0, 2]}, {}, "<|im_end|>", {"eos": 2, "eot": 2, "eom": 0}),
    ({}, {"eos_token_id": 0}, "<|im_end|>", {"eos": 0}),
    ({"eos_token_id": 2}, {"eos_token_id": 0}, "<|im_start|>", {"eos": 2, "eot": 2, "eom": 0}),
    ({}, {"eos_token_id": None}, "<|im_end|>", {"eos": 2, "eot": 2}),
]


@pytest.mark.parametrize(("generation", "config", "tokenizer_eos", "expected"), STOPS)
def test_what_ends_a_turn_comes_from_the_models_configuration(
    generation: dict[str, Any], config: dict[str, Any], tokenizer_eos: str, expected: dict[str, int], tmp_path: Path
) -> None:
    folder = write_tiny(tmp_path / "model")
    edit_json(folder / "config.json", **config)
    edit_json(folder / "tokenizer_config.json", eos_token=tokenizer_eos)
    (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    found = read_tokenizer(folder, 601).special_ids
    assert {key: found[key] for key in ("eos", "eot", "eom") if key in found} == expected


def test_a_begin_token_of_the_post_processor_is_added_by_llama_cpp(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model")
    reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
    reference.post_processor = bos_template("<|im_start|>", 1)
    reference.save(str(folder / "tokenizer.json"))
    export_gguf(folder, tmp_path / "model.gguf")
    with open_llama(tmp_path / "model.gguf", vocab_only=True) as model:
        assert model.tokenize(b"hello there", add_bos=True, special=True) == reference.encode("hello there").ids


def test_a_template_in_its_own_file_is_kept(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model")
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}", encoding="utf-8")
    export_gguf(folder, tmp_path / "model.gguf")
    assert read_header(tmp_path / "model.gguf").metadata["tokenizer.chat_template"] == "{{ messages[0].content }}"


def test_rows_without_a_token_are_filled_so_that_ids_stay(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model")
    assert read_tokenizer(folder, 640).tokens[639] == "[PAD639]"


REFUSED = {
    "a normaliser": ({"normalizer": {"type": "NFC"}}, "a normaliser"),
    "an unknown split": (
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Isolated", "invert": False}},
        "the pre-tokeniser Split",
    ),
    "a space added in front": (
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}},
        "the pre-tokeniser ByteLevel",
    ),
    "SentencePiece": ({"pre_tokenizer": None, "model": {"type": "BPE", "vocab": {"a": 0}, "byte_fallback": True}}, "Llama 2"),
    "WordPiece": ({"model": {"type": "WordPiece", "vocab": {"a": 0}}}, "of type WordPiece"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_tokenizer_that_llama_cpp_would_treat_otherwise_is_refused(case: str, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model")
    changes, message = REFUSED[case]
    edit_json(folder / "tokenizer.json", **changes)
    with pytest.raises(InputError, match=message):
        export_gguf(folder, tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


def test_a_tokenizer_of_another_model_is_refused(tiny_dir: Path) -> None:
    with pytest.raises(InputError, match="belongs to another model"):
        read_tokenizer(tiny_dir, 100)


def test_a_model_without_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no tokenizer.json; save the tokenizer"):
        export_gguf(folder, tmp_path / "model.gguf")
