"""Whether what a component says of its model is true of the files that it wrote.

Facts travel with a model and later steps rely on them, so one that is handed on without looking does its damage far away. What
can be read off the files is compared here: the type of a GGUF file's weights, the size of a vocabulary, zeros in safetensors.
Other formats say nothing, and so nothing of theirs is checked.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cogumi_core.api.types import ModelFacts
from cogumi_core.formats.gguf.header import GgufHeader, read_header
from cogumi_core.formats.gguf.types import FLOATS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["untrue"]

TOLERANCE: Final = 0.02
_PARTS: Final = {"attention": ("attn", "attention"), "ffn": ("mlp", "ffn", "feed_forward"), "embeddings": ("embed", "lm_head")}


def untrue(facts: ModelFacts, folder: Path, model_format: str) -> list[str]:
    """A sentence for each fact that the model in `folder` does not bear out."""
    if model_format == "gguf":
        return list(_untrue_of_gguf(facts, read_header(folder / "model.gguf")))
    return list(_untrue_of_hf(facts, folder)) if model_format == "hf" else []


def _untrue_of_gguf(facts: ModelFacts, header: GgufHeader) -> Iterator[str]:
    weights: Counter[str] = Counter()
    for tensor in header.tensors:
        weights[tensor.type.name] += tensor.weights
    most = weights.most_common(1)[0][0]
    said = facts.quantisation.upper()
    if not said.startswith(most) and (said or most not in FLOATS):
        yield f"facts.quantisation is '{facts.quantisation}', most weights of the file are {most}"
    embedding = next((tensor for tensor in header.tensors if tensor.name == "token_embd.weight"), None)
    if facts.vocabulary is not None and embedding is not None and embedding.shape[0] != facts.vocabulary.tokens:
        yield f"facts.vocabulary has {facts.vocabulary.tokens} tokens, the file {embedding.shape[0]}"


def _untrue_of_hf(facts: ModelFacts, folder: Path) -> Iterator[str]:
    size = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("vocab_size")
    if facts.vocabulary is not None and size != facts.vocabulary.tokens:
        yield f"facts.vocabulary has {facts.vocabulary.tokens} tokens, config.json {size}"
    if not facts.sparsity:
        return
    found = zeros(folder)
    for part, share in facts.sparsity.items():
        if part in found and abs(found[part] - share) > TOLERANCE:
            yield f"facts.sparsity says that {share:.1%} of '{part}' are zeros, in the files {found[part]:.1%} are"


def zeros(folder: Path) -> dict[str, float]:
    """Share of zeros among the weights of each kind of matrix, in all safetensors files of `folder`."""
    import numpy as np

    count: Counter[str] = Counter()
    none: Counter[str] = Counter()
    for path in sorted(folder.glob("*.safetensors")):
        for name, weights in _matrices(path):
            for part, words in _PARTS.items():
                if any(word in name for word in words):
                    count[part] += weights.size
                    none[part] += weights.size - int(np.count_nonzero(weights))
    return {part: none[part] / total for part, total in count.items()}


def _matrices(path: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Each matrix of a safetensors file (eight bytes of length, a JSON header, the data). BF16, which numpy lacks, comes as its
    bits without the sign: zero is zero."""
    import numpy as np

    content = np.memmap(path, dtype=np.uint8, mode="r")
    (length,) = struct.unpack("<Q", content[:8].tobytes())
    header = json.loads(content[8 : 8 + length].tobytes())
    types: dict[str, np.dtype[Any]] = {name: np.dtype(code) for name, code in (("F32", "<f4"), ("F16", "<f2"), ("BF16", "<u2"))}
    for name, entry in header.items():
        if name == "__metadata__" or len(entry["shape"]) != 2 or entry["dtype"] not in types:
            continue
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        weights = np.frombuffer(content[start:end].tobytes(), dtype=types[entry["dtype"]])
        yield name, weights & 0x7FFF if entry["dtype"] == "BF16" else weights
