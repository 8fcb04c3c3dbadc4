"""Opens a student for training and writes one back: Hugging Face directories and GGUF files in, Hugging Face directories out.

Training continues from exactly what is served, so the tokenizer has llama.cpp's ids, the end-of-turn token ends generation,
and the chat template is the model's own. Only Llama-architecture models: everything downstream (GGUF export, adapters)
knows their layout. Downloading is left to the caller; a path is expected.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from cogumi_core import InputError
from cogumi_core.formats.json_files import read_object
from cogumi_modifiers.students.gguf_model import load_model, open_gguf, refuse_kind
from cogumi_modifiers.students.gguf_tokenizer import build_tokenizer
from cogumi_modifiers.training.quiet import quiet
from cogumi_modifiers.training.rows import end_of_turn_id

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from cogumi_core import ModelRef


def load_student(model: ModelRef, dtype: torch.dtype = torch.bfloat16) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model on the CPU in `dtype`, in evaluation mode, and its tokenizer, whose `eos_token_id` is the end-of-turn token.

    Raises InputError: missing or damaged files, not a Llama kind, a tokenizer that cannot be rebuilt exactly."""
    with quiet():
        loaded, tokenizer = _from_gguf(model.path, dtype) if model.format == "gguf" else _from_directory(model.path, dtype)
    _agree_on_end_of_turn(loaded, tokenizer)
    return loaded.eval(), tokenizer


def save_student(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, output: Path) -> None:
    """Writes safetensors, both configurations, the tokenizer and its chat template; the same input gives the same bytes."""
    output.mkdir(parents=True, exist_ok=True)
    with quiet():
        model.save_pretrained(output, max_shard_size="4GB")
        tokenizer.save_pretrained(output, save_jinja_files=False)
    _settle_tokenizer_config(output / "tokenizer_config.json")
    for weights in output.glob("*.safetensors"):
        weights.chmod(0o644)  # written private to the user, unlike every other file


def _from_gguf(path: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    header = open_gguf(path)
    # The tokenizer first: it is quick, and it may be the reason to refuse the file.
    tokenizer = build_tokenizer(header.contents(), str(path))
    return load_model(header, dtype), tokenizer


def _from_directory(path: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    config = path / "config.json"
    if not config.is_file():
        message = f"{path}: not a Hugging Face model folder (no config.json in it)"
        raise InputError(message)
    kind = read_object(config).get("model_type")
    if kind != "llama":
        refuse_kind(path, kind)
    try:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, local_files_only=True)
        return model, AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as exc:
        reason = (str(exc).splitlines() or [type(exc).__name__])[0]
        message = f"{path}: the model cannot be opened ({reason}); download or copy the folder again"
        raise InputError(message) from exc


def _agree_on_end_of_turn(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """One end token everywhere: what the chat template writes is what generation must stop at."""
    end = end_of_turn_id(tokenizer)
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    for config in (model.config, model.generation_config):
        config.eos_token_id = end
        config.bos_token_id = tokenizer.bos_token_id
        config.pad_token_id = tokenizer.pad_token_id


def _settle_tokenizer_config(path: Path) -> None:
    """Makes the file independent of where the tokenizer came from, and readable by transformers 4 as well."""
    config = read_object(path)
    for key in ("name_or_path", "is_local", "local_files_only", "backend"):
        config.pop(key, None)
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
