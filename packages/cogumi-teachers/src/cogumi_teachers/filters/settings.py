"""What a person writes below `with:` for each filter."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from cogumi_core import Engine, Settings, Use, engine_of_recipe, input_file
from cogumi_teachers.fields import FileOrStudent


class LengthSettings(Settings):
    """Settings of the filter `length`."""

    min_tokens: int = Field(1, description="fewest tokens that stay", ge=0)
    max_tokens: int = Field(2048, description="most tokens that stay", ge=1)
    of: Literal["response", "both"] = Field("response", description="counted is the response, or instruction and response")
    tokenizer: FileOrStudent = input_file(
        None, description="tokenizer.json, Hugging Face folder or GGUF file; the student's own without it"
    )
    engine: Use[Engine] | None = engine_of_recipe("engine that counts with the tokenizer inside a model file")

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.min_tokens > self.max_tokens:
            message = f"min_tokens ({self.min_tokens}) is above max_tokens ({self.max_tokens}): no row could stay"
            raise ValueError(message)
        return self


class FormatSettings(Settings):
    """Settings of the filter `format`."""

    refusals: Literal["drop", "keep"] = Field("drop", description="what to do with refusals; `keep` for safety data")
    max_repeats: int = Field(
        4, description="the same line, or the same words at the end of the answer, this many times in a row is a loop", ge=2
    )
    max_trigram_share: float = Field(
        0.25, description="largest share of an answer's words that one group of three words may make up", gt=0.0, le=1.0
    )
