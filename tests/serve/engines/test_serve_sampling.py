"""Which token is chosen, on a vocabulary of five and without a model."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from cogumi_core import EngineError, Sampling
from cogumi_serve.engines.llama_cpp.sampling import Sampler, log_softmax

LOGPROBS = log_softmax(np.array([2.0, 1.0, 0.5, 0.0, -1.0], dtype=np.float32))


class OnlyThese:
    """A grammar that always lets the same tokens through."""

    def __init__(self, *allowed: int) -> None:
        self._allowed = allowed

    def allowed(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        return np.isin(tokens, self._allowed)

    def accept(self, token: int) -> None:
        assert token in self._allowed


def shares(sampling: Sampling, grammar: OnlyThese | None, draws: int = 4000) -> dict[int, float]:
    sampler = Sampler(sampling, grammar)  # type: ignore[arg-type]
    counts = Counter(sampler.choose(LOGPROBS)[0] for _ in range(draws))
    return {token: counts[token] / draws for token in sorted(counts)}


@pytest.mark.parametrize("top_p", [1.0, 0.999999])
@pytest.mark.parametrize("allowed", [(0, 1, 2, 3, 4), (1, 3, 4)])
def test_draws_under_a_grammar_have_the_models_own_proportions(top_p: float, allowed: tuple[int, ...]) -> None:
    wanted = np.exp(LOGPROBS[list(allowed)])
    found = shares(Sampling(temperature=1.0, top_p=top_p, seed=3), OnlyThese(*allowed))
    assert list(found) == list(allowed)
    assert list(found.values()) == pytest.approx(list(wanted / wanted.sum()), abs=0.03)


@pytest.mark.parametrize(("top_p", "kept"), [(0.5, 1), (0.6, 2), (0.95, 4), (1.0, 5)])
def test_top_p_keeps_the_smallest_set_that_is_likely_enough(top_p: float, kept: int) -> None:
    assert len(shares(Sampling(temperature=1.0, top_p=top_p, seed=1), None)) == kept


@pytest.mark.parametrize("temperature", [0.0, 1e-9, 1e-300])
def test_no_temperature_and_next_to_none_are_greedy(temperature: float) -> None:
    assert shares(Sampling(temperature=temperature, seed=1), None, 50) == {0: 1.0}
    assert shares(Sampling(temperature=temperature, seed=1), OnlyThese(2, 4), 50) == {2: 1.0}


def test_a_grammar_without_a_way_on_is_an_error() -> None:
    with pytest.raises(EngineError, match="no token of this model's vocabulary"):
        Sampler(Sampling(), OnlyThese()).choose(LOGPROBS)  # type: ignore[arg-type]


def test_a_token_that_the_grammar_forces_is_no_surprise() -> None:
    token, logprob = Sampler(Sampling(), OnlyThese(3)).choose(LOGPROBS)  # type: ignore[arg-type]
    assert (token, logprob) == (3, 0.0)
    assert LOGPROBS[3] < 0
