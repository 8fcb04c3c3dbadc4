"""What runs a model, one folder or file an engine; how each is registered stands here."""

from __future__ import annotations

from typing import Final

from cogumi_core import Component

COMPONENTS: Final = (
    Component(
        "engine",
        "llama-cpp",
        "runs GGUF models of the Llama kind in process, with adapters swapped at run time",
        config="cogumi_serve.engines.settings:LlamaCppSettings",
        factory="cogumi_serve.engines.llama_cpp.engine:LlamaCppEngine",
        requires=(("llama", "llama_cpp"),),
        accepts=frozenset({"gguf"}),
    ),
)
