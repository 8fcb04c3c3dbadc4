"""Lossless packing: the same model in fewer bytes, for carrying. Light: it is imported whenever someone types `cogumi`."""

from __future__ import annotations

from typing import Final

from cogumi_core import Component

COMPONENTS: Final = (
    Component(
        "compressor",
        "zstd",
        "packs a GGUF file with Zstandard, bit for bit, and verifies the round trip",
        config="cogumi_compress.zstd.settings:ZstdSettings",
        factory="cogumi_compress.zstd.compressor:ZstdCompressor",
        accepts=frozenset({"gguf"}),
        produces="zstd",
        packs=True,
    ),
)
