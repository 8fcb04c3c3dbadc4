"""Calibration texts: the training rows, as the model's own chat template writes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from cogumi_core.api.interfaces import Dataset
from cogumi_core.api.types import ModelRef
from cogumi_core.formats.model_template import template_of
from cogumi_core.formats.tools import asked

MOST_ROWS: Final = 2048  # the specification's number of calibration samples; a compressor takes as many as it wants


@dataclass(frozen=True, slots=True)
class CalibrationTexts:
    """Iterable any number of times; rendered anew each time, so that nothing but one text is in memory."""

    dataset: Dataset
    model: ModelRef

    def __iter__(self) -> Iterator[str]:
        template = template_of(self.model)
        for example in islice(self.dataset, MOST_ROWS):
            yield template.text((*asked(example.prompt, example.tools), example.answer))

    def __len__(self) -> int:
        return min(MOST_ROWS, len(self.dataset))
