"""One answer on its way to whoever asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Final

from cogumi_core import Token, Usage
from cogumi_serve.system.receipt import Receipt

BASE: Final = "base"

Clock = Callable[[], float]


class Reply:
    """`receipt` already says who answers; iterating gives the tokens, and completes the receipt."""

    def __init__(self, receipt: Receipt, tokens: Iterator[Token], prompt_tokens: int, started: float, clock: Clock) -> None:
        self.receipt = receipt
        self.finish_reason = ""
        self._tokens, self._prompt_tokens, self._started, self._clock = tokens, prompt_tokens, started, clock
        self._count = 0

    def __iter__(self) -> Iterator[Token]:
        begun = self._clock()
        for token in self._tokens:
            self._count += 1
            if self._count == 1 and self.receipt.route != BASE:
                self.receipt = replace(self.receipt, first_token_ms=(self._clock() - begun) * 1000)
            if token.finish_reason:
                self.finish_reason = token.finish_reason
                self._complete(begun)
            yield token

    def close(self) -> None:
        """Stops the work within a token."""
        close_stream(self._tokens)

    @property
    def usage(self) -> Usage:
        return Usage(prompt_tokens=self._prompt_tokens, completion_tokens=self._count)

    def _complete(self, begun: float) -> None:
        now = self._clock()
        seconds = {**self.receipt.seconds, "answer": now - begun, "total": now - self._started}
        speed = self.receipt.base_tokens_per_second
        if self.receipt.route == BASE and speed is None and now > begun:
            speed = self._count / (now - begun)
        self.receipt = replace(self.receipt, seconds=seconds, base_tokens_per_second=speed)


class Kept:
    """The base's answer as it is released: what it wrote until the decision, and what it is still writing. No generator,
    because one that nobody has begun to read does not close what it would read from."""

    def __init__(self, written: Iterable[Token], rest: Iterator[Token]) -> None:
        self._tokens, self._rest = chain(written, rest), rest

    def __iter__(self) -> Iterator[Token]:
        return self

    def __next__(self) -> Token:
        return next(self._tokens)

    def close(self) -> None:
        close_stream(self._rest)


def close_stream(stream: Iterator[Token]) -> None:
    """Stops an engine's stream; an iterator that holds nothing has no `close`."""
    close = getattr(stream, "close", None)
    if close is not None:
        close()
