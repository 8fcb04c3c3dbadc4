"""What an adapter will weigh, told from shapes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogumi_core import ModelRef
from cogumi_modifiers.domains.estimate import adapter_estimate
from cogumi_modifiers.domains.settings import AutomationSettings
from cogumi_modifiers.testing import tiny_llama

# Of the adapter that the quickstart's modifier wrote for this base: rank 16, f16, header included.
QUICKSTART_BYTES = 9_797_824


def test_the_forecast_is_that_of_a_real_adapter(smollm2: Path) -> None:
    settings = AutomationSettings(lora_r=16, adapter_type="f16")
    found = adapter_estimate(settings, {"model": ModelRef(smollm2, "gguf", "")}).bytes
    assert found == pytest.approx(QUICKSTART_BYTES, rel=0.005)


def test_a_hugging_face_folder_gives_the_same_as_its_layers(tmp_path: Path) -> None:
    tiny = tiny_llama(tmp_path / "tiny", hidden_size=64, layers=2)
    found = adapter_estimate(AutomationSettings(lora_r=8, adapter_type="f32"), {"model": ModelRef(tiny, "hf", "")}).bytes
    per_layer = 2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 128)
    assert found == 2 * per_layer * 8 * 4


def test_of_several_adapters_the_largest_is_forecast(smollm2: Path) -> None:
    inputs = {"model": ModelRef(smollm2, "gguf", "")}
    several, one = (adapter_estimate(AutomationSettings(lora_r=ranks), inputs) for ranks in ([8, 32, 16], 32))
    assert several == one


@pytest.mark.parametrize("inputs", [{}, {"model": None}, {"model": ModelRef(Path("nowhere.gguf"), "gguf", "")}])
def test_an_unknown_base_gives_no_figure_rather_than_a_wrong_one(inputs: dict[str, object]) -> None:
    assert adapter_estimate(AutomationSettings(), inputs).bytes is None
