"""What a person writes below `with:` for each source."""

from __future__ import annotations

from pydantic import Field

from cogumi_core import Settings, input_file
from cogumi_core.formats.benchmarks.bfcl import ANSWERS, QUESTIONS
from cogumi_core.formats.benchmarks.humaneval import PROBLEMS


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
