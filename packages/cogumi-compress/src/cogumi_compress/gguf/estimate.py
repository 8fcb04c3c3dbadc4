"""Forecasts for `cogumi plan`, from headers and shapes alone. How far Zstandard packs a file is only known by packing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cogumi_compress.config import GgufSettings
from cogumi_core.api.errors import InputError
from cogumi_core.api.types import Estimate, ModelRef


def gguf_estimate(settings: GgufSettings, inputs: Mapping[str, Any]) -> Estimate:
    """Bytes of the file that `settings` give, exact but for the tokenizer of a Hugging Face model; nothing where the model is
    not there yet or cannot be read: the stage itself will say why."""
    from cogumi_compress.gguf.compressor import mix_of
    from cogumi_compress.size.size import forecast_bytes, read_model

    model = _model(inputs)
    if model is None:
        return Estimate()
    try:
        return Estimate(bytes=forecast_bytes(read_model(model.path), mix_of(settings)))
    except (InputError, OSError):
        return Estimate()


def _model(inputs: Mapping[str, Any]) -> ModelRef | None:
    return next((value for value in inputs.values() if isinstance(value, ModelRef)), None)
