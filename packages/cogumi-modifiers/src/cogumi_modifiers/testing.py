"""A tiny random Llama with a real byte-level tokenizer, for tests of everything that opens, trains or exports a model.

It is small enough that a training takes a second, and complete enough that nothing treats it specially: safetensors,
grouped-query attention, tied embeddings, chat template, end of turn.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from cogumi_modifiers.students.hf import save_student

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
END = 2
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_TEXT = (
    "the quick brown fox jumps over the lazy dog",
    "def add(a, b):\n    return a + b",
    'Answer only with JSON: {"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}',
    "Question: what is two plus two? Answer: four. In 2024 there were 366 days.",
)


def tiny_llama(
    path: Path, *, hidden_size: int = 64, layers: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Path:
    """Writes the model into the folder `path` and returns it. `hidden_size` is a multiple of 32, in 4 heads and 2 key/value
    heads; the same arguments give the same bytes."""
    tokenizer = tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        # The usual 0.02 bounds the logits of so narrow a model so tightly that it could not learn anything.
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=END,
        pad_token_id=END,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        # transformers starts the padding token, here also the end of turn, at zero: with tied weights nobody could predict it.
        torch.nn.init.normal_(model.model.embed_tokens.weight.data[END], std=config.initializer_range)
    save_student(model.to(dtype), tokenizer, path)
    return path


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of some 320 tokens with SmolLM's pre-tokeniser, special tokens and turn marks."""
    backend = Tokenizer(BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=320,
        special_tokens=[AddedToken(token, normalized=False, special=True) for token in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(_TEXT * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<|im_end|>",
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
