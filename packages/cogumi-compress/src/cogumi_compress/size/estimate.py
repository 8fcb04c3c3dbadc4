"""Forecasts for `cogumi plan`, from headers and shapes alone. How far Zstandard packs a file is only known by packing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cogumi_compress.gguf.settings import EXACT, GgufSettings
from cogumi_core import Estimate, InputError, ModelRef


def gguf_estimate(settings: GgufSettings, inputs: Mapping[str, Any]) -> Estimate:
    """Bytes of the file that `settings` give, exact but for the tokenizer of a Hugging Face model; nothing where the model is
    not there yet or cannot be read: the stage itself will say why."""
    from cogumi_compress.gguf.allocation import Mix
    from cogumi_compress.gguf.compressor import mix_of
    from cogumi_compress.gguf.quant_types import FILE_TYPES
    from cogumi_compress.size.size import exact_bytes, forecast_bytes, read_model

    model = inputs.get("model")
    if not isinstance(model, ModelRef):
        return Estimate()
    try:
        sized = read_model(model.path)
        if settings.type != EXACT:
            return Estimate(bytes=forecast_bytes(sized, mix_of(settings)))
        # A model that is yet to be trained has 16-bit weights by then, whatever the file has that training starts from.
        trained = model.format != sized.format
        return Estimate(bytes=forecast_bytes(sized, Mix(FILE_TYPES["BF16"])) if trained else exact_bytes(sized))
    except (InputError, OSError):
        return Estimate()
