"""The contract of teachers: an honest identity, a price, and no error but TeacherError."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cogumi_core.api.errors import TeacherError, TeacherRefusal
from cogumi_core.api.types import Completion, CompletionRequest, Message, Price, Sampling
from cogumi_core.testing.conformance.base import ComponentSuite

__all__ = ["TeacherSuite"]

_KEY_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)


class TeacherSuite(ComponentSuite):
    """A teacher answers one request. `question` may be replaced by one that suits it. The calls are real: a paid teacher's
    suite costs a few short answers."""

    kind = "teacher"

    @pytest.fixture(autouse=True)
    def _as_in_a_stage(self) -> None:
        """Here the teacher is called as the paid-call engine calls it."""

    @pytest.fixture
    def question(self) -> CompletionRequest:
        message = Message("user", "Name one colour of the rainbow.")
        return CompletionRequest((message,), Sampling(max_tokens=16, seed=17), reference="Red.")

    def test_identity_is_json(self, made: Any) -> None:
        identity = dict(made.identity)
        assert identity, "the identity is empty: the answers of two teachers would be taken for each other's"
        assert json.loads(json.dumps(identity, allow_nan=False)) == identity, "the identity is not plain JSON"

    def test_identity_is_the_same_again(self, make: Callable[[], Any]) -> None:
        assert dict(make().identity) == dict(make().identity), "another identity: nothing would be reused"

    def test_identity_holds_no_secret_host_or_path(self, made: Any) -> None:
        text = json.dumps(dict(made.identity))
        secrets = [value for name, value in os.environ.items() if _KEY_NAME.search(name) and len(value) > 8]
        found = [part for part in (socket.gethostname(), str(Path.home()), str(Path.cwd())) if len(part) > 3 and part in text]
        assert not any(value in text for value in secrets), "a key stands in the identity"
        assert not found, f"the identity holds {found}: it would differ on another computer"

    def test_price_sampling_and_concurrency_are_sensible(self, made: Any) -> None:
        price = made.price
        assert isinstance(made.sampling, Sampling)
        assert price is None or (isinstance(price, Price) and price.input_usd >= 0 and price.output_usd >= 0)
        assert made.concurrency >= 1
        assert isinstance(made.needs_reference, bool)

    def test_answers(self, made: Any, question: CompletionRequest) -> None:
        answer = asyncio.run(made.complete(question))
        assert isinstance(answer, Completion), f"complete() gave {type(answer).__name__}"
        assert answer.text.strip(), "the answer is empty"
        assert answer.finish_reason, "the answer has no finish_reason"
        assert answer.model, "the answer names no model"

    def test_counts_tokens(self, made: Any, question: CompletionRequest) -> None:
        usage = asyncio.run(made.complete(question)).usage
        assert usage.prompt_tokens >= usage.cached_tokens >= 0
        assert usage.completion_tokens >= 0
        if not made.needs_reference:
            assert 0 < usage.completion_tokens <= question.sampling.max_tokens, "max_tokens is not kept, or not counted"

    def test_refuses_without_a_reference_where_it_needs_one(self, made: Any) -> None:
        if not made.needs_reference:
            pytest.skip("it needs no reference")
        with pytest.raises(TeacherRefusal):
            asyncio.run(made.complete(CompletionRequest((Message("user", "Why?"),))))

    def test_functions_to_call_give_an_answer_or_a_teacher_error(self, made: Any) -> None:
        parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        tool = {"name": "weather", "description": "the weather in a city", "parameters": parameters}
        asked = Message("user", "Is it warm in Lisbon?")
        try:
            answer = asyncio.run(made.complete(CompletionRequest((asked,), Sampling(max_tokens=32), tools=(tool,))))
        except TeacherError:
            return
        assert answer.text.strip() or answer.tool_calls, "neither words nor a call"
        assert all(call.name for call in answer.tool_calls), "a call has no name"

    def test_odd_request_gives_an_answer_or_a_teacher_error(self, made: Any) -> None:
        odd = CompletionRequest((Message("user", ""),), Sampling(max_tokens=1), schema={"type": "no such type"})
        try:
            answer = asyncio.run(made.complete(odd))
        except TeacherError:
            return
        assert isinstance(answer, Completion)
