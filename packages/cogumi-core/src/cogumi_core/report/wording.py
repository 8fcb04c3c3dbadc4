"""Numbers as a person reads them. One place, so that the page says a thing in one way."""

from __future__ import annotations

import json

from cogumi_core.api.types import Interval, ModelFacts

NONE = "–"
"""Stands where nothing was measured."""


def size(count: float | None) -> str:
    """Bytes in powers of ten: `98.4 MB`."""
    if count is None:
        return NONE
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:,.0f} B"


def duration(seconds: float) -> str:
    """`0.4 s`, `38 s`, `4 min 12 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in [0, 1]."""
    return NONE if share is None else f"{100 * share:.{digits}f} %"


def signed_percent(share: float) -> str:
    """A relative change, with its sign."""
    return f"{100 * share:+.1f} %".replace("-", "−")


def number(value: float | None, digits: int = 3) -> str:
    """A figure with fixed digits after the point."""
    return NONE if value is None else f"{value:.{digits}f}"


def count(value: float) -> str:
    """A whole number with thousands apart."""
    return f"{value:,.0f}"


def usd(value: float) -> str:
    """US dollars; more digits where two would show nothing."""
    return f"${value:,.4f}" if 0 < value < 0.01 else f"${value:,.2f}"


def between(edges: tuple[float, float] | None, digits: int = 3) -> str:
    """An interval in brackets; empty when there is none."""
    return "" if edges is None else f"[{edges[0]:.{digits}f}, {edges[1]:.{digits}f}]"


def share_of(interval: Interval) -> str:
    """A share with its interval and what it was counted over."""
    return f"{percent(interval.share)} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def probability(value: float) -> str:
    """A p-value: never an exact zero."""
    return "p < 0.0001" if value < 0.0001 else f"p = {value:.4f}"


def shortened(text: str, longest: int) -> str:
    """One line of at most `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def sample(value: object, longest: int = 1500) -> str:
    """A value from a row of data: text as it is, anything else as JSON, cut where it gets long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= longest else f"{text[:longest]}…"


def cell(value: str | float | bool | None) -> str:
    """A cell of a plugin's table."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def facts(found: ModelFacts) -> str:
    """What was done to a model, in one line; empty for nothing."""
    parts = [found.quantisation] if found.quantisation else []
    if found.sparsity:
        shares = ", ".join(f"{name} {percent(share, 0)}" for name, share in sorted(found.sparsity.items()))
        parts.append(f"zeros: {shares}{f' ({found.structure})' if found.structure else ''}")
    if found.vocabulary is not None:
        kept = f", kept for {found.vocabulary.kept_for}" if found.vocabulary.kept_for else ""
        parts.append(f"vocabulary of {found.vocabulary.tokens:,} of {found.vocabulary.tokens_before:,} tokens{kept}")
    parts += [f"{name}: {sample(value, 60)}" for name, value in sorted(found.other.items())]
    return "; ".join(parts)


FILTERS = {
    function.__name__: function
    for function in (
        size,
        duration,
        percent,
        signed_percent,
        number,
        count,
        usd,
        between,
        share_of,
        probability,
        shortened,
        sample,
        cell,
        facts,
    )
}
"""Under these names in the templates."""
