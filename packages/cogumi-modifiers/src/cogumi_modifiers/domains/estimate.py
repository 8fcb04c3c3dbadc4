"""Forecasts for `cogumi plan`: what an adapter will weigh, from the shapes of the base alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cogumi_core import Estimate, InputError, ModelRef
from cogumi_core.formats.gguf.header import read_header
from cogumi_core.formats.llama.config import read_config
from cogumi_core.formats.llama.names import LINEAR
from cogumi_core.formats.llama.shapes import llama_tensors, shape_of_gguf
from cogumi_modifiers.domains.settings import DomainSettings

_BYTES: Final = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}


def adapter_estimate(settings: DomainSettings, inputs: Mapping[str, Any]) -> Estimate:
    """Bytes of the tensors of the largest adapter (its header adds some 30 kB); nothing where the base is not known or cannot
    be read."""
    model = inputs.get("model")
    if not isinstance(model, ModelRef):
        return Estimate()
    try:
        shape = shape_of_gguf(read_header(model.path)) if model.format == "gguf" else read_config(model.path).shape
    except (InputError, OSError):
        return Estimate()  # the stage itself will say what is wrong
    adapted = (
        tensor.shape for tensor in llama_tensors(shape) if tensor.name.split(".")[-2] in LINEAR and len(tensor.shape) == 2
    )
    # A rank-r adapter of a layer [rows, columns] has r times as many weights as rows and columns together.
    weights = max(settings.lora_r) * sum(rows + columns for rows, columns in adapted)
    return Estimate(bytes=round(weights * _BYTES[settings.adapter_type]))
