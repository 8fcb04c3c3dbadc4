"""What an engine may be asked that it cannot do."""

from __future__ import annotations

from cogumi_core import EngineError


class PromptTooLong(EngineError):
    """The conversation does not fit into the context."""
