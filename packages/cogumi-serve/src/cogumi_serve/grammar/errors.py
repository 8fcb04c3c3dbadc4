"""What a schema may do wrong."""

from __future__ import annotations

from cogumi_core import EngineError


class SchemaRefused(EngineError):
    """A JSON schema that cannot be turned into a grammar; the message names the place and the keyword."""
