"""The contract of engines: what came before never changes an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cogumi_core.api.errors import CogumiError, EngineError, InputError
from cogumi_core.api.types import GenerateRequest, Message, Sampling, Token
from cogumi_core.plugins.registry import Registry
from cogumi_core.testing.conformance.base import ComponentSuite

__all__ = ["EngineSuite"]

_TEXTS = ("Hello, world!", "def f(x):\n    return x + 1\n", "日本語 🙂 naïve", "  two  spaces\tand a tab\n\n", "")
_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green"]}},
    "required": ["colour"],
    "additionalProperties": False,
}


class EngineSuite(ComponentSuite):
    """An engine, run on the real SmolLM2-135M-Instruct; replace `weights` for an engine of another format."""

    kind = "engine"

    @pytest.fixture(scope="class")
    @classmethod
    def weights(cls, smollm2: Path) -> Path:
        return smollm2

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Any:
        return Registry.installed().create(cls.kind, cls.component, **cls.settings)

    @pytest.fixture(scope="class")
    @classmethod
    def session(cls, engine: Any, weights: Path) -> Iterator[Any]:
        opened = engine.open(weights, context_tokens=512)
        yield opened
        opened.close()

    @pytest.fixture(scope="class")
    @classmethod
    def fresh_answer(cls, engine: Any, weights: Path) -> list[int]:
        """What a session that was never used answers."""
        opened = engine.open(weights, context_tokens=512)
        try:
            return [token.id for token in opened.stream(ask("What is the capital of France?"))]
        finally:
            opened.close()

    def test_names_its_formats(self, engine: Any) -> None:
        assert engine.formats, "`formats` is empty: no model can be opened"

    def test_answers_like_a_fresh_session_whatever_came_before(self, session: Any, fresh_answer: list[int]) -> None:
        for text in ("Write a poem about rain.", "What is the capital of Fran"):
            list(session.stream(ask(text)))
        assert [token.id for token in session.stream(ask("What is the capital of France?"))] == fresh_answer

    def test_closing_a_stream_stops_it_and_leaves_no_trace(self, session: Any, fresh_answer: list[int]) -> None:
        stream = session.stream(ask("Count to a thousand.", max_tokens=200))
        next(stream)
        stream.close()
        assert [token.id for token in session.stream(ask("What is the capital of France?"))] == fresh_answer

    def test_last_token_says_why(self, session: Any) -> None:
        tokens = list(session.stream(ask("Count to a thousand.", max_tokens=4)))
        assert len(tokens) <= 4, "max_tokens is not kept"
        assert all(isinstance(token, Token) for token in tokens)
        assert [token.finish_reason for token in tokens[:-1]] == [None] * (len(tokens) - 1)
        assert tokens[-1].finish_reason, "the last token has no finish_reason"

    def test_logprobs_are_logarithms_of_probabilities(self, session: Any) -> None:
        tokens = list(session.stream(ask("What is the capital of France?")))
        assert all(token.logprob <= 1e-4 for token in tokens), "a log-probability is above 0"

    def test_seed_decides_what_is_sampled(self, session: Any) -> None:
        request = ask("Tell me a story.", temperature=1.0)
        first, second = ([token.id for token in session.stream(request)] for _ in range(2))
        assert first == second, "the same seed gave another answer"

    def test_schema_is_kept(self, session: Any) -> None:
        request = GenerateRequest((Message("user", "Pick a colour."),), Sampling(max_tokens=64), schema=_SCHEMA)
        text = "".join(token.text for token in session.stream(request))
        assert json.loads(text)["colour"] in {"red", "green"}

    @pytest.mark.parametrize("text", _TEXTS, ids=repr)
    def test_tokens_go_back_to_the_same_text(self, session: Any, text: str) -> None:
        assert session.detokenize(session.tokenize(text)) == text

    def test_prompt_is_longer_than_its_text(self, session: Any) -> None:
        counted = session.count_prompt_tokens((Message("user", "Hello, world!"),))
        assert counted > len(session.tokenize("Hello, world!")), "the template and the generation prefix are not counted"

    def test_score_gives_a_distribution_for_every_position(self, session: Any) -> None:
        tokens = session.tokenize("The capital of France is Paris.")
        scores = session.score(tokens)
        assert scores.shape[0] == len(tokens)
        assert all(abs(float(total) - 1) < 1e-2 for total in (2.718281828 ** scores.astype("float64")).sum(axis=1))

    def test_prompt_that_does_not_fit_is_an_error(self, session: Any, fresh_answer: list[int]) -> None:
        with pytest.raises(EngineError):
            list(session.stream(ask("word " * 5000)))
        assert [token.id for token in session.stream(ask("What is the capital of France?"))] == fresh_answer

    def test_unknown_adapter_is_an_error(self, session: Any) -> None:
        with pytest.raises(EngineError):
            list(session.stream(ask("Hello"), adapter="no-such-adapter"))

    def test_damaged_file_is_an_input_error(self, engine: Any, weights: Path, tmp_path: Path) -> None:
        damaged = tmp_path / weights.name
        with weights.open("rb") as whole:
            damaged.write_bytes(whole.read(200_000))
        with pytest.raises(InputError):
            engine.open(damaged)

    def test_missing_file_is_a_clear_error(self, engine: Any, tmp_path: Path) -> None:
        with pytest.raises(CogumiError):
            engine.open(tmp_path / "none.gguf")

    def test_vocabulary_alone_tokenises(self, engine: Any, weights: Path, session: Any) -> None:
        small = engine.open(weights, vocab_only=True)
        try:
            assert small.tokenize(_TEXTS[0]) == session.tokenize(_TEXTS[0])
        finally:
            small.close()


def ask(text: str, *, max_tokens: int = 12, temperature: float = 0.0) -> GenerateRequest:
    """A short question."""
    return GenerateRequest((Message("user", text),), Sampling(temperature, max_tokens=max_tokens, seed=17))
