"""Settings of what writes GGUF files."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BeforeValidator, Field, model_validator

from cogumi_compress.gguf.quant_types import ALIASES, FILE_TYPES, OVERRIDES
from cogumi_core import Settings, did_you_mean, execution_only

EXACT: Final = "exact"
"""Instead of a file type: the narrowest float type that loses nothing; a GGUF file stays as it is."""


def file_type_name(value: object) -> object:
    """The canonical name of a file type, whatever its case, or `exact`. Raises ValueError with near names."""
    if not isinstance(value, str):
        return value
    name = value.strip().upper().replace("-", "_")
    if name == EXACT.upper():
        return EXACT
    return _known(ALIASES.get(name, name), value, (*FILE_TYPES, EXACT), "file type")


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


FileTypeName = Annotated[str, BeforeValidator(file_type_name)]
TensorTypeName = Annotated[str, BeforeValidator(tensor_type_name)]


class GgufSettings(Settings):
    """`gguf`: exports to GGUF and quantises."""

    type: FileTypeName = Field(
        "Q5_0",
        description=(
            f"What the weights become, in llama.cpp's names: {', '.join(FILE_TYPES)}, upper or lower case; or exact: as they "
            "are, in the narrowest float type that loses nothing."
        ),
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

    @model_validator(mode="after")
    def _exact_stands_alone(self) -> GgufSettings:
        if self.type == EXACT and (self.token_embedding_type or self.output_type or self.pure):
            message = "type 'exact' keeps every weight as it is: leave token_embedding_type, output_type and pure out"
            raise ValueError(message)
        return self
