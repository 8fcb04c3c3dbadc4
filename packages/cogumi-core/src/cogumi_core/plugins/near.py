"""Near names for error messages: one rule for every "did you mean" in Cogumi."""

from __future__ import annotations

from collections.abc import Iterable

_CUTOFF = 0.6  # difflib's own default: a transposed or missing letter passes, another word does not


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The one of `names` that looks most like `word`, or None; upper and lower case are not told apart."""
    import difflib  # only where something is wrong; starting should not wait for it

    by_lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=_CUTOFF)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """` Did you mean 'x'?` with its leading space, or nothing."""
    found = nearest(word, names)
    return f" Did you mean '{found}'?" if found else ""
