"""What a person writes below `with:` for each component of this package."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from cogumi_core.api.settings import Settings, execution_only, input_file
from cogumi_core.formats.benchmarks.bfcl import ANSWERS, QUESTIONS
from cogumi_core.formats.benchmarks.humaneval import PROBLEMS
from cogumi_teachers.dedup.bands import choose_bands


def _student_is_none(value: Any) -> Any:
    """`student` means the recipe's own student, whose digest the recipe knows; it is no file name."""
    return None if value == "student" else value


class JsonlSettings(Settings):
    """Settings of the source `jsonl`."""

    path: str = input_file(description="JSON Lines file, or package:NAME/FILE", min_length=1)
    domain: str = Field("general", description="domain of rows that name none", min_length=1)
    source: str = Field("jsonl", description="source of rows that name none", min_length=1)
    licence: str = Field("unknown", description="licence of rows that name none", min_length=1)
    limit: int | None = Field(None, description="take only the first rows", ge=1)


class BfclSettings(Settings):
    """Settings of the source `bfcl`."""

    path: str = input_file(QUESTIONS, description="a BFCL v4 file with one call a row", min_length=1)
    answers: str = input_file(ANSWERS, description="the possible answers of the same file", min_length=1)
    domain: str = Field("automation", description="domain of the prompts", min_length=1)
    limit: int | None = Field(None, description="take only the first rows", ge=1)


class HumanEvalSettings(Settings):
    """Settings of the source `humaneval`."""

    path: str = input_file(PROBLEMS, description="HumanEval's problems, plain or gzipped", min_length=1)
    domain: str = Field("code", description="domain of the prompts", min_length=1)
    limit: int | None = Field(None, description="take only the first rows", ge=1)


class LocalSettings(Settings):
    """Settings of the teacher `local`."""

    model: Annotated[str | None, BeforeValidator(_student_is_none)] = input_file(
        None, description="model file the engine can open, package:NAME/FILE, or `student` (the default)"
    )
    engine: str = Field("llama-cpp", description="name of an installed engine", min_length=1)
    temperature: float = Field(0.0, description="randomness of the answer; 0 is greedy", ge=0.0, le=2.0)
    top_p: float = Field(1.0, description="share of probability that tokens are chosen from", gt=0.0, le=1.0)
    max_tokens: int = Field(512, description="longest answer, in tokens", ge=1, le=32768)
    seed: int | None = Field(None, description="seed of the sampling when temperature is above 0", ge=0)
    context_tokens: int = Field(2048, description="longest prompt and answer together, in tokens", ge=128, le=131072)


class ReferenceSettings(Settings):
    """The teacher `reference` has no settings."""


class LengthSettings(Settings):
    """Settings of the filter `length`."""

    min_tokens: int = Field(1, description="fewest tokens that stay", ge=0)
    max_tokens: int = Field(2048, description="most tokens that stay", ge=1)
    of: Literal["response", "both"] = Field("response", description="counted is the response, or instruction and response")
    tokenizer: Annotated[str | None, BeforeValidator(_student_is_none)] = input_file(
        None, description="tokenizer.json, Hugging Face folder or GGUF file; the student's own without it"
    )

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
