"""Settings of the compressors."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from cogumi_compress.gguf.quant_types import ALIASES, FILE_TYPES, OVERRIDES
from cogumi_core.api.settings import ByteSize, Settings, execution_only
from cogumi_core.plugins.near import did_you_mean


def file_type_name(value: object) -> object:
    """The canonical name of a file type, whatever its case. Raises ValueError with near names."""
    if not isinstance(value, str):
        return value
    name = value.strip().upper().replace("-", "_")
    return _known(ALIASES.get(name, name), value, tuple(FILE_TYPES), "file type")


def tensor_type_name(value: object) -> object:
    """The canonical name of a tensor type, whatever its case. Raises ValueError with near names."""
    if not isinstance(value, str):
        return value
    return _known(value.strip().upper().replace("-", "_"), value, OVERRIDES, "tensor type")


def _known(name: str, written: str, names: tuple[str, ...], what: str) -> str:
    if name in names:
        return name
    needs_matrix = name == "Q2_K_S" or name.startswith(("IQ1", "IQ2", "IQ3"))
    why = " (it needs an importance matrix, which this version does not compute)" if needs_matrix else ""
    message = f"unknown {what} '{written}'{why}.{did_you_mean(name, names)} Known: {', '.join(names)}"
    raise ValueError(message)


def _dictionary(value: object) -> object:
    """`off` is 0, also where YAML read it as false."""
    return 0 if value is False or (isinstance(value, str) and value.strip().lower() == "off") else value


FileTypeName = Annotated[str, BeforeValidator(file_type_name)]
TensorTypeName = Annotated[str, BeforeValidator(tensor_type_name)]


class GgufSettings(Settings):
    """`gguf`: exports to GGUF and quantises."""

    type: FileTypeName = Field(
        "Q5_0", description=f"What the weights become, in llama.cpp's names: {', '.join(FILE_TYPES)}. Upper or lower case."
    )
    token_embedding_type: TensorTypeName | None = Field(
        None, description="Tensor type of the token embeddings instead of the one the file type gives them."
    )
    output_type: TensorTypeName | None = Field(
        None,
        description="Tensor type of the output layer instead of the one the file type gives it; also of embeddings tied to it.",
    )
    pure: bool = Field(False, description="Give every matrix the file type's own tensor type, with no layer kept at more bits.")
    threads: int = execution_only(0, ge=0, le=1024, description="Threads for quantising; 0 takes all cores.")


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
