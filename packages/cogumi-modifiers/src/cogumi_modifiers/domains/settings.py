"""Settings of the modifiers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from cogumi_core import Benchmark, Engine, Settings, Use, engine_of_recipe, execution_only

Rank = Annotated[int, Field(ge=1, le=256)]


def _as_list(value: object) -> object:
    """A single number stands for a list of one."""
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


class DomainSettings(Settings):
    """Settings of the modifier `domain`; one with a benchmark or settings of its own extends this class."""

    benchmark: Use[Benchmark] = Field(description="the tasks: what is mined, trained on and validated by")
    engine: Use[Engine] | None = engine_of_recipe("the engine that will serve, and so the one that is measured")
    parallel: int = execution_only(4, ge=1, le=256, description="answers computed at once, as far as the engine does that")
    lora_r: Annotated[tuple[Rank, ...], BeforeValidator(_as_list, json_schema_input_type=Rank | list[Rank])] = Field(
        (16,), min_length=1, max_length=16, description="rank of the adapter on every linear layer; of a list, one adapter each"
    )
    lora_alpha: int | None = Field(
        None, ge=1, le=1024, description="scale of the adapter, divided by its rank; left out: twice the rank"
    )
    learning_rate: float = Field(1.5e-3, gt=0, le=1, description="highest learning rate")
    epochs: float = Field(1.0, gt=0, le=100, description="passes over the training rows")
    batch_size: int = Field(4, ge=1, le=256, description="rows an optimiser step sees")
    replay: float = Field(0.5, ge=0, le=1, description="share of the mined tasks the base got right that is trained on as well")
    baselines: tuple[Literal["grammar", "plain", "examples"], ...] = Field(
        ("grammar",),
        min_length=1,
        description="untrained configurations to beat: under the task's grammar, free, with two examples in the prompt",
    )
    alpha: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="a gain counts when chance gives it with less than this probability; shared among several ranks",
    )
    max_prompt_tokens: int = Field(512, ge=16, le=1 << 17, description="tasks with longer prompts are left out")
    max_tokens: int = Field(128, ge=1, le=1 << 15, description="longest answer")
    adapter_type: Literal["f32", "f16", "q8_0"] = Field("f16", description="number format of the adapter file")

    @field_validator("lora_r")
    @classmethod
    def _each_once(cls, ranks: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(ranks)) < len(ranks):
            message = "a rank stands in the list twice"
            raise ValueError(message)
        return ranks

    def scale(self, rank: int) -> float:
        """alpha of an adapter of this rank."""
        return float(2 * rank if self.lora_alpha is None else self.lora_alpha)


class AutomationSettings(DomainSettings):
    """Settings of the modifier `automation`."""

    benchmark: Use[Benchmark] = Field(
        Use("benchmark", "bfcl"), description="the tasks: what is mined, trained on and validated by"
    )
