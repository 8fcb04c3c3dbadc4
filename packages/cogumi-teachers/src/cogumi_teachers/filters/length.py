"""The filter `length`: drops what is too short to teach or too long to train on, in tokens of the student's own tokenizer."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from cogumi_core import Example, RowFilter, Services, UsageError, Verdict
from cogumi_teachers.filters.settings import LengthSettings
from cogumi_teachers.filters.tokens import TokenCounter, open_counter

TOO_SHORT = "too short"
TOO_LONG = "too long"


class LengthFilter(RowFilter):
    """See `cogumi_core.Filter`. The evidence of every verdict, kept or not, is the count. `close` frees the tokenizer."""

    def __init__(self, settings: LengthSettings, services: Services) -> None:
        self._settings = settings
        self._services = services

    def judge(self, example: Example) -> Verdict:
        count = self._counter.count(example.response)
        if self._settings.of == "both":
            count += self._counter.count(example.instruction)
        if count < self._settings.min_tokens:
            return Verdict(False, TOO_SHORT, f"{count} tokens; at least {self._settings.min_tokens} are asked for")
        if count > self._settings.max_tokens:
            return Verdict(False, TOO_LONG, f"{count} tokens; at most {self._settings.max_tokens} are asked for")
        return Verdict(True, evidence=f"{count} tokens")

    def close(self) -> None:
        counter = self.__dict__.pop("_counter", None)  # only what a row has opened
        if counter is not None:
            counter.close()

    @cached_property
    def _counter(self) -> TokenCounter:
        # Opened at the first row, in whichever process judges it.
        return open_counter(self._tokenizer(), self._settings.engine, self._services)

    def _tokenizer(self) -> Path:
        if self._settings.tokenizer is not None:
            return self._services.locate(self._settings.tokenizer)
        if self._services.student is None:
            message = (
                "the filter 'length' has no tokenizer: set `tokenizer:` to a tokenizer.json, a Hugging Face folder or a GGUF "
                "file, or name a `student:` in the recipe"
            )
            raise UsageError(message)
        return self._services.student.path
