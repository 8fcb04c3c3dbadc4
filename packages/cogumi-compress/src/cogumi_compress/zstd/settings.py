"""Settings of what packs without loss."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from cogumi_core import ByteSize, Settings, execution_only


def _dictionary(value: object) -> object:
    """`off` is 0, also where YAML read it as false."""
    return 0 if value is False or (isinstance(value, str) and value.strip().lower() == "off") else value


class ZstdSettings(Settings):
    """`zstd`: packs the GGUF file without loss."""

    level: int = Field(10, ge=1, le=22, description="Compression level of Zstandard: 1 is fast, 22 is small.")
    dictionary: Annotated[ByteSize, BeforeValidator(_dictionary), Field(le=1 << 24)] = Field(
        0,
        description=(
            "Largest size of a dictionary trained on the file itself, such as 128KiB, or off. It is kept only where the packed "
            "file with the dictionary inside is smaller than without."
        ),
    )
    threads: int = execution_only(
        0, ge=0, le=256, description="Threads for packing; 0 takes all cores. The bytes do not depend on it."
    )
