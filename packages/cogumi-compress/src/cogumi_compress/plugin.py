"""What this package offers: GGUF export with quantisation, lossless packing, and `cogumi size`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cogumi_core.api.component import Component
from cogumi_core.api.hookspecs import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def cogumi_register_compressors() -> Iterable[Component]:
    yield Component(
        "compressor",
        "gguf",
        "exports a Llama model to GGUF and quantises it with llama.cpp",
        config="cogumi_compress.config:GgufSettings",
        factory="cogumi_compress.gguf.compressor:GgufCompressor",
        requires=(("llama", "llama_cpp"),),
        accepts=frozenset({"hf", "gguf"}),
        produces="gguf",
        estimate="cogumi_compress.gguf.estimate:gguf_estimate",
    )
    yield Component(
        "compressor",
        "zstd",
        "packs a GGUF file with Zstandard, bit for bit, and verifies the round trip",
        config="cogumi_compress.config:ZstdSettings",
        factory="cogumi_compress.zstd.compressor:ZstdCompressor",
        accepts=frozenset({"gguf"}),
        produces="zstd",
    )


@hookimpl
def cogumi_register_commands(cli: click.Group) -> None:
    from cogumi_compress.size.commands import size

    cli.add_command(size)
