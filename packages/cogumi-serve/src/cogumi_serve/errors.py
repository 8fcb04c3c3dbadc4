"""Errors of this package, each below the core error that decides its exit code.

CogumiError
├── InputError
│   └── UnknownModel        no model of that name in the system
├── EngineError
│   ├── PromptTooLong       the conversation does not fit into the context
│   └── SchemaRefused       a JSON schema that cannot be turned into a grammar
├── Cancelled               whoever asked has gone
├── Busy                    the queue in front of the model is full
└── PortUnavailable         the server cannot listen where it was told to
"""

from __future__ import annotations

from cogumi_core.api.errors import CogumiError, EngineError, InputError


class UnknownModel(InputError):
    """No model of that name in this system."""


class PromptTooLong(EngineError):
    """The conversation does not fit into the context."""


class SchemaRefused(EngineError):
    """A JSON schema that cannot be turned into a grammar; the message names the place and the keyword."""


class Cancelled(CogumiError):
    """Whoever asked has gone; the work was stopped."""


class Busy(CogumiError):
    """The queue in front of the model is full; trying again later works."""


class PortUnavailable(CogumiError):
    """The server cannot listen where it was told to."""
