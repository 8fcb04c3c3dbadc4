"""What a person writes below `with:` for each teacher."""

from __future__ import annotations

from pydantic import Field

from cogumi_core import Engine, Settings, Use, engine_of_recipe, execution_only, input_file
from cogumi_teachers.fields import FileOrStudent


class LocalSettings(Settings):
    """Settings of the teacher `local`."""

    model: FileOrStudent = input_file(
        None, description="model file the engine can open, package:NAME/FILE, or `student` (the default)"
    )
    engine: Use[Engine] | None = engine_of_recipe("engine that runs the model; the recipe's, or the one installed, without it")
    temperature: float = Field(0.0, description="randomness of the answer; 0 is greedy", ge=0.0, le=2.0)
    top_p: float = Field(1.0, description="share of probability that tokens are chosen from", gt=0.0, le=1.0)
    max_tokens: int = Field(512, description="longest answer, in tokens", ge=1, le=32768)
    seed: int | None = Field(None, description="seed of the sampling when temperature is above 0", ge=0)
    context_tokens: int = Field(2048, description="longest prompt and answer together, in tokens", ge=128, le=131072)
    parallel: int = execution_only(
        4, description="answers computed at once, where the engine can; each takes memory", ge=1, le=64
    )


class ReferenceSettings(Settings):
    """The teacher `reference` has no settings."""
