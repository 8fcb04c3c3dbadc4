"""What came before never changes an answer: adapters, cached prefixes, threads, early ends."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from serve_support import ask, write_adapter

from cogumi_core import EngineError, GenerateRequest, InputError, Message, OpenOptions, Sampling, Token
from cogumi_serve.engines.llama_cpp.engine import LlamaCppEngine, LlamaCppSession
from cogumi_serve.engines.llama_cpp.native import BLOCK, Context, Model
from cogumi_serve.engines.settings import LlamaCppSettings

pytestmark = pytest.mark.model

# One beginning of several blocks, so that there is a prefix to reuse, and three different ends.
BEGINNING = "Here is a list of things to think about before answering. " * 14
REQUESTS = [
    ask(BEGINNING + end, max_tokens=10) for end in ("What is rain?", "Name a colour.", "What is the capital of France?")
]
ADAPTERS = (None, "alpha", "beta")


@pytest.fixture(scope="module")
def cold(engine: LlamaCppEngine, base_path: Path, adapter_paths: dict[str, Path]) -> dict[tuple[int, str | None], list[Token]]:
    """Every request under every adapter, each from a session that did nothing before."""
    answers = {}
    for adapter in ADAPTERS:
        for number, request in enumerate(REQUESTS):
            with engine.open(base_path, OpenOptions(adapters=adapter_paths, context_tokens=512)) as session:
                answers[number, adapter] = list(session.stream(request, adapter))
    return answers


def test_the_adapters_change_what_the_model_says(cold: dict[tuple[int, str | None], list[Token]]) -> None:
    assert len({tuple(token.id for token in cold[2, adapter]) for adapter in ADAPTERS}) == 3


@pytest.mark.parametrize("reuse_prefix", [False, True])
def test_any_sequence_of_swaps_gives_what_a_fresh_session_gives(
    engine: LlamaCppEngine,
    base_path: Path,
    adapter_paths: dict[str, Path],
    cold: dict[tuple[int, str | None], list[Token]],
    reuse_prefix: bool,
) -> None:
    order = random.Random(7)
    with engine.open(base_path, OpenOptions(adapters=adapter_paths, context_tokens=512, reuse_prefix=reuse_prefix)) as session:
        for _ in range(12):
            number, adapter = order.randrange(len(REQUESTS)), order.choice(ADAPTERS)
            # Equal down to the last bit of every log-probability.
            assert list(session.stream(REQUESTS[number], adapter)) == cold[number, adapter]


def test_a_swap_that_keeps_the_cache_contaminates_the_next_answer(base_path: Path, adapter_paths: dict[str, Path]) -> None:
    model = Model(base_path, vocab_only=False, mmap=True)
    adapter = model.load_adapter(adapter_paths["alpha"])
    context = Context(model, 512, threads=2)
    prompt = model.tokenize("<|im_start|>user\nWhat is rain?<|im_end|>\n<|im_start|>assistant\n", special=True)[:BLOCK]

    def last_logits(*, clear: bool) -> np.ndarray:
        context.set_adapter(adapter)
        context.clear()
        context.decode(prompt, 0)
        context.set_adapter(None)
        if clear:
            context.clear()
            context.decode(prompt, 0)
        else:
            context.keep(len(prompt) - 1)
            context.decode(prompt[-1:], len(prompt) - 1)
        return context.logits()

    stale, fresh = last_logits(clear=False), last_logits(clear=True)
    context.close()
    model.close()
    assert np.abs(stale - fresh).max() > 1.0


def test_a_reused_prefix_is_really_not_computed_again(
    engine: LlamaCppEngine, base_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    original = Context.decode
    monkeypatch.setattr(
        Context,
        "decode",
        lambda self, tokens, start, **more: (computed.append(len(tokens)), original(self, tokens, start, **more)),
    )
    with engine.open(base_path, OpenOptions(context_tokens=512, reuse_prefix=True)) as session:
        list(session.stream(REQUESTS[0]))
        first, computed[:] = sum(computed), []
        list(session.stream(REQUESTS[1]))
    assert sum(computed) <= first - 2 * BLOCK


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_does_not_change_an_answer(
    base_path: Path, cold: dict[tuple[int, str | None], list[Token]], threads: int
) -> None:
    engine = LlamaCppEngine(LlamaCppSettings(threads=threads), None)  # type: ignore[arg-type]
    with engine.open(base_path, OpenOptions(context_tokens=512)) as session:
        assert list(session.stream(REQUESTS[1])) == cold[1, None]


def test_closing_an_answer_early_frees_the_session_for_the_next(session: LlamaCppSession) -> None:
    expected = list(session.stream(ask("Name a colour.")))
    answer = session.stream(ask("Write a long story.", max_tokens=500))
    next(answer)
    answer.close()  # type: ignore[attr-defined]
    assert list(session.stream(ask("Name a colour."))) == expected


def test_two_threads_take_turns_and_neither_answer_is_disturbed(session: LlamaCppSession) -> None:
    requests = [ask("What is rain?"), ask("Name a colour.")]
    expected = [list(session.stream(request)) for request in requests]
    got: dict[int, list[Token]] = {}
    threads = [
        threading.Thread(target=lambda number=number: got.update({number: list(session.stream(requests[number]))}))
        for number in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[0], got[1]] == expected


def test_adapters_come_and_go_at_run_time(
    session: LlamaCppSession, adapter_paths: dict[str, Path], cold: dict[tuple[int, str | None], list[Token]]
) -> None:
    session.load_adapter("alpha", adapter_paths["alpha"])
    assert list(session.stream(REQUESTS[2], "alpha")) == cold[2, "alpha"]
    session.unload_adapter("alpha")
    assert list(session.stream(REQUESTS[2])) == cold[2, None]
    with pytest.raises(EngineError, match="no adapter named 'alpha' is loaded"):
        session.stream(REQUESTS[2], "alpha")


def test_an_adapter_of_another_base_is_refused_with_both_digests(session: LlamaCppSession, tmp_path: Path) -> None:
    wrong = write_adapter(tmp_path / "wrong.gguf", 1, digest="ab" * 32)
    with pytest.raises(InputError, match=r"trained on a base with sha256 abab.*but .*\.gguf has [0-9a-f]{64}"):
        session.load_adapter("wrong", wrong)


def test_log_probabilities_of_an_answer_agree_with_scoring_it(session: LlamaCppSession) -> None:
    request = ask("What is rain?")
    answer = list(session.stream(request))
    prompt = session.prompt_tokens(request)
    rows = session.score([*prompt, *(token.id for token in answer)])
    scored = [rows[len(prompt) - 1 + index, token.id] for index, token in enumerate(answer)]
    assert scored == pytest.approx([token.logprob for token in answer], abs=0.05)


def test_scoring_gives_normalised_rows_and_leaves_answers_alone(session: LlamaCppSession) -> None:
    before = list(session.stream(ask("What is rain?")))
    tokens = session.tokenize(BEGINNING)
    rows = session.score(tokens)
    assert rows.shape == (len(tokens), 49152)
    assert np.exp(rows.astype(np.float64)).sum(axis=1) == pytest.approx(np.ones(len(tokens)), abs=1e-4)
    assert list(session.stream(ask("What is rain?"))) == before


def test_an_adapter_changes_the_score(engine: LlamaCppEngine, base_path: Path, adapter_paths: dict[str, Path]) -> None:
    with engine.open(base_path, OpenOptions(adapters=adapter_paths)) as session:
        tokens = session.tokenize("Rain is water that falls.")
        assert not np.allclose(session.score(tokens), session.score(tokens, "alpha"), atol=0.1)


def conversation(turns: int) -> Iterator[GenerateRequest]:
    """A chat that grows by one turn each time."""
    messages: tuple[Message, ...] = ()
    for turn in range(turns):
        messages = (*messages, Message("user", f"Question {turn}: {'what is rain ' * 16}"))
        yield GenerateRequest(messages, Sampling(max_tokens=6))
        messages = (*messages, Message("assistant", "Water that falls."))


def test_a_growing_chat_answers_the_same_with_and_without_reuse(engine: LlamaCppEngine, base_path: Path) -> None:
    with engine.open(base_path, OpenOptions(reuse_prefix=True)) as warm, engine.open(base_path, OpenOptions()) as cold_session:
        for request in conversation(3):
            assert list(warm.stream(request)) == list(cold_session.stream(request))
