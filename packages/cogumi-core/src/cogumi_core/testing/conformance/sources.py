"""The contract of sources: complete prompts, streaming, the same each time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import Prompt
from cogumi_core.formats.rows import prompt_from_row, prompt_row
from cogumi_core.testing.conformance.base import ComponentSuite

__all__ = ["SourceSuite"]

_LOOKED_AT = 500


class SourceSuite(ComponentSuite):
    """A source streams, repeats itself, and gives complete prompts with unique ids."""

    kind = "source"

    @pytest.fixture
    def prompts(self, made: Any, run: RunContext) -> list[Prompt]:
        """The first prompts."""
        return list(islice(made.prompts(run), _LOOKED_AT))

    def test_gives_prompts(self, prompts: list[Prompt]) -> None:
        assert prompts, "there is not one prompt"
        assert all(isinstance(prompt, Prompt) for prompt in prompts), "something is not a Prompt"

    def test_streams(self, made: Any, run: RunContext) -> None:
        assert isinstance(made.prompts(run), Iterator), "prompts() must give an iterator, not hold everything"

    def test_ids_are_unique(self, prompts: list[Prompt]) -> None:
        ids = [prompt.id for prompt in prompts]
        assert all(ids), "a prompt has an empty id"
        assert len(ids) == len(set(ids)), "two prompts have one id"

    def test_repeats_itself(self, make: Callable[[], Any], prompts: list[Prompt], run: RunContext) -> None:
        again = list(islice(make().prompts(run), _LOOKED_AT))
        assert again == prompts, "the same settings gave other prompts, or another order"

    def test_every_prompt_asks_something(self, prompts: list[Prompt]) -> None:
        silent = [prompt.id for prompt in prompts if not prompt.messages or not prompt.messages[-1].content.strip()]
        assert not silent, f"prompts whose last message is empty: {silent[:5]}"

    def test_every_prompt_waits_for_an_answer(self, prompts: list[Prompt]) -> None:
        answered = [prompt.id for prompt in prompts if prompt.messages and prompt.messages[-1].role not in ("user", "tool")]
        assert not answered, f"prompts whose last turn asks nothing of the assistant: {answered[:5]}"

    def test_every_prompt_has_domain_source_and_licence(self, prompts: list[Prompt]) -> None:
        bare = [prompt.id for prompt in prompts if not (prompt.domain and prompt.source and prompt.licence)]
        assert not bare, f"prompts without domain, source or licence: {bare[:5]}"

    def test_references_are_text_or_none(self, prompts: list[Prompt]) -> None:
        blank = [prompt.id for prompt in prompts if prompt.reference is not None and not prompt.reference.strip()]
        assert not blank, f"references that are blank instead of None: {blank[:5]}"

    def test_prompts_survive_a_file(self, prompts: list[Prompt]) -> None:
        again = [prompt_from_row(json.loads(json.dumps(prompt_row(prompt)))) for prompt in prompts]
        assert again == prompts, "metadata must be plain JSON"
