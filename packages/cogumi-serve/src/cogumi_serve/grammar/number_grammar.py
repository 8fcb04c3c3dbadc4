"""GBNF rules for JSON numbers within bounds.

A range of whole numbers becomes alternatives of digit patterns: 7 to 123 is one digit from 7, or two digits, or 1 followed by
00 to 23. Bounds of fractions must be whole numbers; the part after the point is then free, except at the ends.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Final

DIGITS: Final = 16
"""Longest whole part that is generated: what a double holds exactly."""

_FRACTION: Final = '("." [0-9]{1,16})?'
_POSITIVE_FRACTION: Final = '"." [0-9]{0,15} [1-9]'


def integer_rule(
    minimum: float | None, maximum: float | None, *, above: float | None = None, below: float | None = None
) -> str:
    """Whole numbers from `minimum` to `maximum`, greater than `above`, less than `below`. Raises ValueError: there are none."""
    low = _greatest(None if minimum is None else ceil(minimum), None if above is None else floor(above) + 1)
    high = _least(None if maximum is None else floor(maximum), None if below is None else ceil(below) - 1)
    if low is None and high is None:
        return f'"-"? ("0" | [1-9] [0-9]{{0,{DIGITS - 1}}})'
    _require_some(low, high)
    parts = []
    if low is None or low < 0:
        parts.append(f'"-" ({_magnitudes(max(1, -high) if high is not None else 1, None if low is None else -low)})')
    if high is None or high >= 0:
        parts.append(_magnitudes(max(0, low or 0), high))
    return " | ".join(parts)


def number_rule(minimum: float | None, maximum: float | None, *, above: float | None = None, below: float | None = None) -> str:
    """Numbers within whole bounds, without exponent. Raises ValueError: a bound is not whole, or nothing is left."""
    low, open_low = _whole_bound(minimum, above, greatest=True)
    high, open_high = _whole_bound(maximum, below, greatest=False)
    if low is not None and high is not None and (low > high or (low == high and (open_low or open_high))):
        _require_some(1, 0)
    parts = []
    if low is None or low < 0:
        # The negative side, mirrored: magnitudes from -high to -low.
        lower, lower_open = (0, False) if high is None or high > 0 else (-high, open_high)
        parts.append(f'"-" ({_fractions(lower, lower_open, None if low is None else -low, open_low)})')
    if high is None or high > 0 or (high == 0 and not open_high):
        lower, lower_open = (0, False) if low is None or low < 0 else (low, open_low)
        parts.append(_fractions(lower, lower_open, high, open_high))
    return " | ".join(parts)


def _fractions(low: int, open_low: bool, high: int | None, open_high: bool) -> str:
    """Numbers of at least 0 from `low` to `high`; an open end is left out itself."""
    parts = []
    if high is None or low < high:
        parts.append(f'"{low}" {_POSITIVE_FRACTION if open_low else _FRACTION}')
        if high is None or low + 1 < high:
            parts.append(f"({_magnitudes(low + 1, None if high is None else high - 1)}) {_FRACTION}")
    if high is not None and not open_high and not (open_low and low == high):
        parts.append(f'"{high}"')
    return " | ".join(parts)


def _magnitudes(low: int, high: int | None) -> str:
    """Whole numbers of at least 0 from `low` to `high`, without leading zeros."""
    top = 10**DIGITS - 1 if high is None else high
    if low > top:
        message = f"{low} is longer than {DIGITS} digits"
        raise ValueError(message)
    parts = []
    while low <= top:
        # One piece for each length: 7..9, 10..99, 100..123.
        end = min(top, 10 ** len(str(low)) - 1)
        parts.append(_same_length(str(low), str(end)))
        low = end + 1
    return " | ".join(parts)


def _same_length(low: str, high: str) -> str:
    """Numbers between two of the same length."""
    if not low:
        return ""
    rest = len(low) - 1
    if low == "0" * len(low) and high == "9" * len(high):
        return _any_digits(len(low))
    if low[0] == high[0]:
        return f'"{low[0]}" {_grouped(_same_length(low[1:], high[1:]))}'.strip()
    parts = []
    first, last = int(low[0]), int(high[0])
    if low[1:] != "0" * rest:
        parts.append(f'"{first}" {_grouped(_same_length(low[1:], "9" * rest))}')
        first += 1
    tail = ""
    if high[1:] != "9" * rest:
        tail = f'"{last}" {_grouped(_same_length("0" * rest, high[1:]))}'
        last -= 1
    if first <= last:
        parts.append(f"[{first}-{last}] {_any_digits(rest)}".strip())
    return " | ".join([*parts, tail] if tail else parts)


def _any_digits(count: int) -> str:
    return f"[0-9]{{{count}}}" if count else ""


def _grouped(body: str) -> str:
    return f"({body})" if " | " in body else body


def _whole_bound(inclusive: float | None, exclusive: float | None, *, greatest: bool) -> tuple[int | None, bool]:
    """The tighter of two bounds, and whether the number itself is excluded."""
    for bound in (inclusive, exclusive):
        if bound is not None and bound != floor(bound):
            message = f"the bound {bound} of a number is not whole; only whole bounds can be kept by a grammar"
            raise ValueError(message)
    if exclusive is not None and (inclusive is None or (exclusive >= inclusive if greatest else exclusive <= inclusive)):
        return int(exclusive), True
    return (None if inclusive is None else int(inclusive)), False


def _greatest(*bounds: int | None) -> int | None:
    return max((bound for bound in bounds if bound is not None), default=None)


def _least(*bounds: int | None) -> int | None:
    return min((bound for bound in bounds if bound is not None), default=None)


def _require_some(low: int | None, high: int | None) -> None:
    if low is not None and high is not None and low > high:
        message = "no number lies between its bounds"
        raise ValueError(message)
