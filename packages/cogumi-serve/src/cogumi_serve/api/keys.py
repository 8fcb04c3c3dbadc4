"""API keys: kept only as digests, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

from cogumi_core import InputError


class KeyRing:
    """The keys that open the server; an empty ring lets everybody in."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def __bool__(self) -> bool:
        return bool(self._digests)

    @classmethod
    def read(cls, path: Path) -> KeyRing:
        """Keys from a file: one a line; blank lines and lines that begin with # do not count. Raises InputError."""
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as exc:
            message = f"{path}: cannot be read ({exc}); a text file with one key per line is expected"
            raise InputError(message) from exc
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys:
            message = f"{path}: holds no key; write one key per line"
            raise InputError(message)
        return cls(keys)

    def admits(self, authorization: str | None) -> bool:
        """Whether the value of an Authorization header carries a key of this ring."""
        if not self._digests:
            return True
        scheme, _, key = (authorization or "").partition(" ")
        given = _digest(key.strip())
        # Every digest is compared, so that the time taken does not tell which one matched.
        matches = [hmac.compare_digest(given, known) for known in self._digests]
        return scheme.lower() == "bearer" and any(matches)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
