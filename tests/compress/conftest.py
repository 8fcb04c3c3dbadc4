"""Fixtures of the compression tests: the real model as a Hugging Face directory, and a tiny one."""

from __future__ import annotations

from pathlib import Path

import pytest
from compress_support import SMOLLM2, pre_tokenizer, write_tiny
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import BPE

from cogumi_compress.gguf.export import export_gguf
from cogumi_core import locate
from cogumi_core.formats.gguf.header import read_header


@pytest.fixture(scope="session")
def smollm_gguf() -> Path:
    return locate(SMOLLM2)


@pytest.fixture(scope="session")
def smollm_dir(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Path:
    """SmolLM2-135M-Instruct in Hugging Face's layout, BF16, with the tokenizer its authors published (digits apart)."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("smollm")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        smollm_gguf.parent, gguf_file=smollm_gguf.name, dtype=torch.float32
    )
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.to(torch.bfloat16).save_pretrained(folder)
    _tokenizer(smollm_gguf).save_pretrained(folder)
    return folder


def _tokenizer(path: Path):  # type: ignore[no-untyped-def]
    # transformers' own conversion forgets that digits stand apart, and takes the end token for the begin token.
    from transformers import PreTrainedTokenizerFast

    header = read_header(path)
    tokens, types = header.array("tokenizer.ggml.tokens"), header.array("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ", 1)) for merge in header.array("tokenizer.ggml.merges")]
    backend = Tokenizer(BPE({token: index for index, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizer("smollm")
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(t, normalized=False) for t, kind in zip(tokens, types, strict=True) if kind == 3])
    names = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>", "unk_token": "<|endoftext|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **names)
    tokenizer.chat_template = header.metadata["tokenizer.chat_template"]
    return tokenizer


@pytest.fixture(scope="session")
def smollm_bf16(tmp_path_factory: pytest.TempPathFactory, smollm_dir: Path) -> Path:
    """The exported file of `smollm_dir`, in its own type."""
    path = tmp_path_factory.mktemp("exported") / "bf16.gguf"
    export_gguf(smollm_dir, path)
    return path


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer Llama, F32. Read only."""
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory, tiny_dir: Path) -> Path:
    path = tmp_path_factory.mktemp("tiny_gguf") / "tiny.gguf"
    export_gguf(tiny_dir, path)
    return path
