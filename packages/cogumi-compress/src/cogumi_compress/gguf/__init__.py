"""Models as GGUF files: export from Hugging Face's form, quantisation by llama.cpp, and the types that it gives each tensor.

How the bytes of a GGUF lie is known to `cogumi_core.formats.gguf`, what a Llama is to `cogumi_core.formats.llama`. Light: it is
imported whenever someone types `cogumi`.
"""

from __future__ import annotations

from typing import Final

from cogumi_core import Component

COMPONENTS: Final = (
    Component(
        "compressor",
        "gguf",
        "exports a Llama model to GGUF and quantises it with llama.cpp",
        config="cogumi_compress.gguf.settings:GgufSettings",
        factory="cogumi_compress.gguf.compressor:GgufCompressor",
        requires=(("llama", "llama_cpp"),),
        accepts=frozenset({"hf", "gguf"}),
        produces="gguf",
        exact={"type": "exact"},
        estimate="cogumi_compress.size.estimate:gguf_estimate",
    ),
)
