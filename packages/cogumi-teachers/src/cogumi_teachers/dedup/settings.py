"""What a person writes below `with:` for each deduper."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from cogumi_core import Settings, execution_only
from cogumi_teachers.dedup.bands import choose_bands


class MinHashSettings(Settings):
    """Settings of the deduper `minhash`."""

    threshold: float = Field(0.8, description="Jaccard similarity of shingles from which rows are duplicates", ge=0.2, le=1.0)
    num_perm: int = Field(128, description="permutations, the length of a signature", ge=16, le=1024)
    shingle: int = Field(3, description="characters in a shingle", ge=1, le=16)
    of: Literal["both", "instruction", "response"] = Field("both", description="which text is compared")
    recall: float = Field(0.99, description="least share of pairs at the threshold that become candidates", ge=0.5, lt=1.0)
    memory: int = execution_only(
        64 * 2**20, description="bytes of text kept in memory before they go to a temporary file", ge=0
    )

    @model_validator(mode="after")
    def _recall_can_be_met(self) -> Self:
        choose_bands(self.threshold, self.num_perm, self.recall)
        return self
