"""What this package offers: GGUF export with quantisation, lossless packing, and `cogumi size`.

Its rooms are imported when what is in them is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cogumi_core import Component, hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def cogumi_register_compressors() -> Iterable[Component]:
    from cogumi_compress import gguf, zstd

    yield from gguf.COMPONENTS
    yield from zstd.COMPONENTS


@hookimpl
def cogumi_register_commands(cli: click.Group) -> None:
    from cogumi_compress.size.commands import size

    cli.add_command(size)
