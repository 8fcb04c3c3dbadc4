"""From token bytes to text that is safe to show: whole characters only, and nothing past a stop string.

A token may end inside a character, and a stop string may begin in one token and end in another; text is held back until it is
known to be complete.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextStream:
    """`push` bytes, get the text that can be shown; after `stopped` is True nothing more comes."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        # Bytes that never become a character turn into U+FFFD in place of an error: a model may write anything.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped = False

    def push(self, data: bytes, *, final: bool = False) -> str:
        """Text that became certain. `final`: nothing follows, so everything held back comes out."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(data, final)
        at = min((found for text in self._stop if (found := self._held.find(text)) >= 0), default=-1)
        if at >= 0:
            self.stopped = True
            return self._release(at)
        return self._release(len(self._held) - (0 if final else self._possible_stop()))

    def _release(self, length: int) -> str:
        text, self._held = self._held[:length], self._held[length:]
        return text

    def _possible_stop(self) -> int:
        """Characters at the end that could be the beginning of a stop string."""
        longest = max((len(text) for text in self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(text.startswith(self._held[-length:]) for text in self._stop):
                return length
        return 0
