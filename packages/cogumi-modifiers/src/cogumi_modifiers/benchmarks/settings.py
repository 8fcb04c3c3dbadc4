"""Settings of the benchmarks."""

from __future__ import annotations

from pydantic import Field

from cogumi_core import ByteSize, Settings, input_file
from cogumi_core.formats.benchmarks.bfcl import ANSWERS, QUESTIONS
from cogumi_core.formats.benchmarks.humaneval import PROBLEMS


class SplitSettings(Settings):
    """How many tasks go where. The splits never share a group, so their sum must leave room for whole groups."""

    mine_tasks: int = Field(60, ge=0, le=1_000_000, description="tasks on which the base's failures are collected")
    train_tasks: int = Field(190, ge=0, le=1_000_000, description="tasks whose reference answers are trained on")
    validate_tasks: int = Field(150, ge=0, le=1_000_000, description="held-out tasks that decide")
    split_seed: int = Field(17, ge=0, description="chooses which groups of tasks fall into which split")


class BfclSettings(SplitSettings):
    """Settings of the benchmark `bfcl`."""

    path: str = input_file(QUESTIONS, description="BFCL file with one call a row")
    answers: str = input_file(ANSWERS, description="BFCL file with its possible answers")


class HumanEvalSettings(SplitSettings):
    """Settings of the benchmark `humaneval`."""

    path: str = input_file(PROBLEMS, description="HumanEval's problems, plain or gzipped JSON Lines")
    mine_tasks: int = Field(30, ge=0, le=1_000_000, description="tasks on which the base's failures are collected")
    train_tasks: int = Field(50, ge=0, le=1_000_000, description="tasks whose reference answers are trained on")
    validate_tasks: int = Field(80, ge=0, le=1_000_000, description="held-out tasks that decide")
    timeout: float = Field(4.0, gt=0, le=120, description="CPU seconds for one answer's checks; twice that in wall-clock time")
    memory: ByteSize = Field(1 << 30, ge=1 << 26, description="memory for one answer's checks")
