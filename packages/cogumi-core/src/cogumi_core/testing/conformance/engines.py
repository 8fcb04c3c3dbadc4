"""The contract of engines: what came before, or beside, never changes an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from cogumi_core.api.component import Provided
from cogumi_core.api.errors import CogumiError, EngineError, InputError
from cogumi_core.api.types import GenerateRequest, Message, OpenOptions, Sampling, Token
from cogumi_core.plugins.registry import Registry
from cogumi_core.testing.conformance.base import ComponentSuite

__all__ = ["EngineSuite"]

OPTIONS: Final = OpenOptions(context_tokens=512)
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
    def class_registry(cls) -> Registry:
        return Registry.installed()

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, class_registry: Registry) -> Any:
        return class_registry.create(cls.kind, cls.component, **cls.settings)

    @pytest.fixture(scope="class")
    @classmethod
    def session(cls, engine: Any, weights: Path) -> Iterator[Any]:
        opened = engine.open(weights, OPTIONS)
        yield opened
        opened.close()

    @pytest.fixture(scope="class")
    @classmethod
    def fresh_answer(cls, engine: Any, weights: Path) -> list[int]:
        """What a session that was never used answers."""
        opened = engine.open(weights, OPTIONS)
        try:
            return [token.id for token in opened.stream(ask("What is the capital of France?"))]
        finally:
            opened.close()

    @pytest.fixture(scope="class")
    @classmethod
    def beside(cls, engine: Any, weights: Path) -> Iterator[Any]:
        """A session that was asked to run several requests at once."""
        opened = engine.open(weights, replace(OPTIONS, parallel=3))
        yield opened
        opened.close()

    def test_accepts_formats(self, provided: Provided) -> None:
        assert provided.component.accepts, "`accepts` names no format: no model can be opened"

    def test_says_how_many_requests_it_runs_at_once(self, session: Any, beside: Any) -> None:
        assert session.parallel == 1, "more requests at once than were asked for"
        assert 1 <= beside.parallel <= 3, f"`parallel` is {beside.parallel} where 3 were asked for"

    def test_context_is_as_long_as_was_asked_for(self, session: Any, beside: Any) -> None:
        assert session.context_tokens >= OPTIONS.context_tokens, "the context is shorter than was asked for"
        assert beside.context_tokens >= OPTIONS.context_tokens, (
            "`context_tokens` holds for each request, however many there are"
        )

    def test_requests_beside_each_other_do_not_change_answers(self, beside: Any, fresh_answer: list[int]) -> None:
        """In threads, twice as many as it runs at once, some of them asking something else."""
        questions = ["What is the capital of France?", "Write a poem about rain.", "Count to a thousand."] * 2
        with ThreadPoolExecutor(len(questions)) as pool:
            answers = list(pool.map(lambda text: [token.id for token in beside.stream(ask(text))], questions))
        assert answers[0] == answers[3] == fresh_answer, "an answer changed with what was answered beside it"
        assert answers[1:3] == answers[4:6], "the same question was answered in two ways"

    def test_a_stream_left_open_does_not_hold_up_the_next(self, beside: Any, fresh_answer: list[int]) -> None:
        if beside.parallel < 2:
            pytest.skip("it runs one request at a time")
        waiting = beside.stream(ask("Count to a thousand.", max_tokens=200))
        next(waiting)
        assert [token.id for token in beside.stream(ask("What is the capital of France?"))] == fresh_answer
        waiting.close()

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
            damaged.write_bytes(whole.read(min(200_000, weights.stat().st_size // 2)))
        with pytest.raises(InputError):
            engine.open(damaged, OPTIONS)

    def test_missing_file_is_a_clear_error(self, engine: Any, tmp_path: Path) -> None:
        with pytest.raises(CogumiError):
            engine.open(tmp_path / "none.gguf", OPTIONS)

    def test_vocabulary_alone_tokenises(self, engine: Any, weights: Path, session: Any) -> None:
        small = engine.open(weights, OpenOptions(vocab_only=True))
        try:
            assert small.tokenize(_TEXTS[0]) == session.tokenize(_TEXTS[0])
        finally:
            small.close()

    def test_embeds_into_vectors_of_length_one(self, engine: Any, weights: Path) -> None:
        opened = engine.open(weights, replace(OPTIONS, embeddings=True))
        try:
            if not callable(getattr(opened, "embed", None)):
                pytest.skip("it does not embed")
            wrong = not_embeddings(opened)
        finally:
            opened.close()
        assert not wrong, "; ".join(wrong)


def not_embeddings(session: Any) -> list[str]:
    """What is wrong with the vectors that `session` gives."""
    texts = ("The sea is calm.", "def f(x): return x", "The sea is calm.", "日本語")
    vectors = session.embed(texts)
    if vectors.ndim != 2 or vectors.shape[0] != len(texts):
        return [f"embed() of {len(texts)} texts has the shape {vectors.shape}, not ({len(texts)}, width)"]
    lengths = [float(length) for length in (vectors.astype("float64") ** 2).sum(axis=1) ** 0.5]
    wrong = [f"a vector has the length {length:.4f}, not 1" for length in lengths if abs(length - 1) > 1e-3]
    if abs(vectors[0] - vectors[2]).max() > 1e-4:
        wrong.append("the same text has two vectors")
    if abs(vectors[0] - session.embed(texts[:1])[0]).max() > 1e-3:
        wrong.append("a text alone has another vector than among others")
    return wrong


def ask(text: str, *, max_tokens: int = 12, temperature: float = 0.0) -> GenerateRequest:
    """A short question."""
    return GenerateRequest((Message("user", text),), Sampling(temperature, max_tokens=max_tokens, seed=17))
