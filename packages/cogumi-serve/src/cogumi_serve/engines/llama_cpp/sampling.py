"""Chooses the next token from raw logits: greedy or by temperature and top-p, under a grammar if there is one.

Written on NumPy and not on llama.cpp's sampler chain, so that the same seed gives the same answer on every platform and the
logits, and with them the log-probability of the chosen token, are seen before anything changes them.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from cogumi_core import EngineError, Sampling

if TYPE_CHECKING:
    from cogumi_serve.engines.llama_cpp.native import Floats, Grammar

FIRST_LOOK: Final = (1, 64, 2048)
"""How many of the likeliest tokens a greedy choice tries under a grammar before it tries them all: the first is nearly always
allowed, and matching the whole vocabulary costs as much as computing a token."""

CONSIDERED: Final = 256
"""How many of the likeliest tokens share out the probability under a grammar."""


def log_softmax(logits: Floats) -> Floats:
    """Natural log of the probabilities along the last axis; a new array."""
    shifted: Floats = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def check_sampling(sampling: Sampling) -> None:
    """Raises EngineError naming the value that makes no sense."""
    if not (isfinite(sampling.temperature) and sampling.temperature >= 0):
        message = f"temperature must be a number of at least 0, not {sampling.temperature}"
        raise EngineError(message)
    if not 0 < sampling.top_p <= 1:
        message = f"top_p must be above 0 and at most 1, not {sampling.top_p}"
        raise EngineError(message)
    if sampling.max_tokens < 1:
        message = f"max_tokens must be at least 1, not {sampling.max_tokens}"
        raise EngineError(message)


class Sampler:
    """Draws the tokens of one answer. `seed` None draws a fresh one."""

    def __init__(self, sampling: Sampling, grammar: Grammar | None) -> None:
        self._sampling = sampling
        self._grammar = grammar
        self._random = np.random.Generator(np.random.PCG64(sampling.seed))

    def choose(self, logprobs: Floats) -> tuple[int, float]:
        """(id of the next token, its log-probability), given the log-probabilities [vocabulary]. Under a grammar the
        probability is that among the allowed tokens. Raises EngineError when no token fits the grammar."""
        token = self._greedy(logprobs) if self._sampling.temperature == 0 else self._draw(logprobs)
        if self._grammar is None:
            return token, float(logprobs[token])
        logprob = _among_allowed(token, logprobs, self._grammar)
        self._grammar.accept(token)
        return token, logprob

    def _greedy(self, logprobs: Floats) -> int:
        if self._grammar is None:
            return int(logprobs.argmax())
        for count in FIRST_LOOK:
            likely = np.argpartition(logprobs, -min(count, len(logprobs)))[-count:].astype(np.int32)
            allowed = likely[self._grammar.allowed(likely)]
            if len(allowed):
                return int(_first_best(allowed, logprobs))
        return int(_first_best(self._all_allowed(self._grammar, logprobs), logprobs))

    def _draw(self, logprobs: Floats) -> int:
        everything = np.arange(len(logprobs), dtype=np.int32)
        if self._grammar is None:
            return self._draw_from(everything, logprobs)
        if self._sampling.top_p == 1:
            # Drawing from all, and again from the allowed ones only if the first was not allowed, has the distribution of
            # drawing from the allowed ones, and rarely needs to match the whole vocabulary.
            token = self._draw_from(everything, logprobs)
            if self._grammar.allowed(np.array([token], dtype=np.int32))[0]:
                return token
        return self._draw_from(self._all_allowed(self._grammar, logprobs), logprobs)

    def _draw_from(self, tokens: npt.NDArray[np.int32], logprobs: Floats) -> int:
        # Float64 and a stable order: the draw must not depend on how a sort treats equal values. The largest is taken away
        # before dividing, so that a tiny temperature cannot turn all of them into minus infinity.
        weights = logprobs[tokens].astype(np.float64)
        weights = (weights - weights.max()) / self._sampling.temperature
        order = np.argsort(-weights, kind="stable")
        cumulated = np.cumsum(np.exp(weights[order]))
        # The smallest set of the likeliest tokens that holds at least top_p of the probability.
        size = min(int(np.searchsorted(cumulated, self._sampling.top_p * cumulated[-1])) + 1, len(tokens))
        point = self._random.random() * cumulated[size - 1]
        return int(tokens[order[min(int(np.searchsorted(cumulated[:size], point, side="right")), size - 1)]])

    def _all_allowed(self, grammar: Grammar, logprobs: Floats) -> npt.NDArray[np.int32]:
        tokens = np.arange(len(logprobs), dtype=np.int32)
        allowed = tokens[grammar.allowed(tokens)]
        if not len(allowed):
            message = "no token of this model's vocabulary continues the text as the schema demands"
            raise EngineError(message)
        return allowed


def _among_allowed(token: int, logprobs: Floats, grammar: Grammar) -> float:
    """A token that the grammar forces says nothing of what the model knows: it must not count as a surprise.

    Of the vocabulary, the likeliest tokens are looked at; what lies beyond them has next to no probability."""
    likely = np.argpartition(logprobs, -min(CONSIDERED, len(logprobs)))[-CONSIDERED:].astype(np.int32)
    allowed = logprobs[likely[grammar.allowed(likely)]].astype(np.float64)
    own = float(logprobs[token])
    return min(0.0, own - float(np.logaddexp.reduce(np.append(allowed, own if token not in likely else -np.inf))))


def _first_best(tokens: npt.NDArray[np.int32], logprobs: Floats) -> int:
    """The likeliest; of equals the lowest id, as argmax over the whole vocabulary would choose."""
    ordered = np.sort(tokens)
    return int(ordered[logprobs[ordered].argmax()])
