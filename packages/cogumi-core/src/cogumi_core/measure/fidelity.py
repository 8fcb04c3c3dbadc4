"""How closely a compressed model follows the one it was made from, measured on held-out text.

Three figures, because each hides something: bits per byte (does it still predict text; comparable across vocabularies), the
divergence of its predictions from the reference's (is it the same model; Kullback and Leibler, 1951), and how often both
would say the same next token. The text is cut into windows that do not overlap; the first token of each has no prediction and
is not scored. One window of one model's predictions is in memory at a time for each of the two. Left out: downstream tasks,
which a benchmark measures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cogumi_core.api.errors import InputError
from cogumi_core.api.interfaces import Engine, Progress, Session
from cogumi_core.api.types import OpenOptions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Edges = tuple[float, float]
HELD_OUT = Path(__file__).with_name("heldout.txt")
"""Held-out text of our own: prose, dialogue, explanations and code that no shipped prompt contains."""
FEWEST_WINDOWS = 3
_ROWS = 64
"""Positions compared at a time: the temporary copies in double precision stay small beside the window itself."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """`bits_per_byte` of the candidate and of the reference on the same text. `mean_kl`: KL(reference || candidate) in nats a
    token. `top1_agreement`: share of positions where both put the same token first. Intervals are 95 %, over windows, None
    with fewer than three. Without a common vocabulary only the bits are comparable: the rest is None and `why` says so.
    `tokens` are scored tokens of the reference, `bytes` what they spell."""

    bits_per_byte: float
    bits_per_byte_reference: float
    mean_kl: float | None
    kl_interval: Edges | None
    top1_agreement: float | None
    top1_interval: Edges | None
    tokens: int
    bytes: int
    windows: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Window:
    """Sums over the scored tokens of one window; `nats` is the surprise at the text."""

    tokens: int
    bytes: int
    nats: float
    nats_reference: float = 0.0
    kl: float = 0.0
    agreed: int = 0


def measure_fidelity(
    reference: Path, candidate: Path, text: str, *, engine: Engine, tokens: int, context: int, progress: Progress
) -> Fidelity:
    """Scores the first `tokens` tokens of `text` in windows of `context`. Raises InputError (text too short, damaged model)
    and EngineError."""
    options = OpenOptions(context_tokens=context)
    with (
        closing(engine.open(reference, options)) as first,
        closing(engine.open(candidate, options)) as second,
    ):
        context = min(context, first.context_tokens, second.context_tokens)
        ids = first.tokenize(text)[:tokens]
        if len(ids) < 2 or context < 2:
            message = f"fidelity needs at least 2 tokens in a window; the text has {len(ids)}, the context {context}"
            raise InputError(message)
        part = first.detokenize(ids)
        why = _difference(first, second, ids, part)
        if why:
            return _apart(first, second, ids, second.tokenize(part), context, progress, why)
        return _together(list(_compared(first, second, ids, context, progress)))


def _difference(first: Session, second: Session, ids: Sequence[int], part: str) -> str:
    """Why the two models' predictions cannot be compared token by token; empty when they can."""
    if first.tokenize(part) != second.tokenize(part):
        return "the two models split this text into different tokens"
    sizes = [session.score(ids[:1]).shape[1] for session in (first, second)]
    if sizes[0] != sizes[1]:
        return f"the vocabularies differ: {sizes[0]:,} and {sizes[1]:,} tokens"
    return ""


def _windows(ids: Sequence[int], context: int) -> Iterator[Sequence[int]]:
    """Windows of `context` tokens; a last one of a single token has nothing to score and is left out."""
    return (ids[start : start + context] for start in range(0, len(ids) - 1, context))


def _bytes(session: Session, window: Sequence[int]) -> int:
    """Bytes that the scored tokens spell: all but the first."""
    return len(session.detokenize(window).encode()) - len(session.detokenize(window[:1]).encode())


def _nats(scores: npt.NDArray[np.float32], window: Sequence[int]) -> float:
    import numpy as np

    targets = np.asarray(window[1:])
    return float(-scores[np.arange(len(targets)), targets].sum(dtype=np.float64))


def _compared(first: Session, second: Session, ids: Sequence[int], context: int, progress: Progress) -> Iterator[_Window]:
    import numpy as np

    done = 0
    for window in _windows(ids, context):
        ours, theirs = (session.score(window)[:-1] for session in (first, second))
        # [positions, vocabulary] each; divergence is summed in slices of positions.
        kl = sum(_divergence(ours[row : row + _ROWS], theirs[row : row + _ROWS]) for row in range(0, len(ours), _ROWS))
        agreed = int(np.count_nonzero(ours.argmax(axis=1) == theirs.argmax(axis=1)))
        size = _bytes(first, window)
        yield _Window(len(ours), size, _nats(theirs, window), _nats(ours, window), kl, agreed)
        done += len(window)
        progress(done, len(ids), "token")


def _divergence(reference: npt.NDArray[np.float32], candidate: npt.NDArray[np.float32]) -> float:
    """Sum over positions of KL(reference || candidate); tokens the reference rules out (log 0) add nothing."""
    import numpy as np

    logs = reference.astype(np.float64)
    possible = np.isfinite(logs)
    difference = np.subtract(logs, candidate, out=np.zeros_like(logs), where=possible)
    return float((np.exp(logs) * difference).sum())


def _together(windows: Sequence[_Window]) -> Fidelity:
    tokens, size = sum(window.tokens for window in windows), sum(window.bytes for window in windows)
    per_token = [(window.kl / window.tokens, window.agreed / window.tokens, window.tokens) for window in windows]
    kl = sum(window.kl for window in windows) / tokens
    agreement = sum(window.agreed for window in windows) / tokens
    return Fidelity(
        bits_per_byte=_bits(sum(window.nats for window in windows), size),
        bits_per_byte_reference=_bits(sum(window.nats_reference for window in windows), size),
        # Rounding can leave a tiny negative sum where the two are the same; a divergence is never negative.
        mean_kl=max(0.0, kl),
        kl_interval=_interval([(value, n) for value, _, n in per_token], kl, math.inf),
        top1_agreement=agreement,
        top1_interval=_interval([(value, n) for _, value, n in per_token], agreement, 1.0),
        tokens=tokens,
        bytes=size,
        windows=len(windows),
    )


def _apart(
    first: Session,
    second: Session,
    ids: Sequence[int],
    other: Sequence[int],
    context: int,
    progress: Progress,
    why: str,
) -> Fidelity:
    """Each model on its own tokens of the same text."""
    total = len(ids) + len(other)
    ours = list(_alone(first, ids, context, progress, done=0, total=total))
    theirs = list(_alone(second, other, context, progress, done=len(ids), total=total))
    bits = [_bits(sum(window.nats for window in side), sum(window.bytes for window in side)) for side in (ours, theirs)]
    tokens, size = sum(window.tokens for window in ours), sum(window.bytes for window in ours)
    return Fidelity(bits[1], bits[0], None, None, None, None, tokens, size, len(ours), why)


def _alone(
    session: Session, ids: Sequence[int], context: int, progress: Progress, *, done: int, total: int
) -> Iterator[_Window]:
    for window in _windows(ids, context):
        yield _Window(len(window) - 1, _bytes(session, window), _nats(session.score(window), window))
        done += len(window)
        progress(done, total, "token")


def _bits(nats: float, size: int) -> float:
    return nats / math.log(2) / max(1, size)


def _interval(values: Sequence[tuple[float, int]], mean: float, highest: float) -> Edges | None:
    """95 % for a mean over windows (value, tokens). Tokens of one window are not independent, so windows are what is counted:
    a ratio estimator with Student's t."""
    count = len(values)
    if count < FEWEST_WINDOWS:
        return None
    average = sum(n for _, n in values) / count
    spread = sum((n / average * (value - mean)) ** 2 for value, n in values) / (count - 1)
    half = _student(count - 1) * math.sqrt(spread / count)
    return max(0.0, mean - half), min(highest, mean + half)


def _student(freedom: float) -> float:
    """The 97.5 % point of Student's t, by its expansion around the normal's (Abramowitz and Stegun, 26.7.5): within 3 % at 2
    degrees of freedom, 1 % from 3 on."""
    z = 1.959964
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))
