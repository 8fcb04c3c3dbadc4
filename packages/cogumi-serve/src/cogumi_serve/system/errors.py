"""Why a system does not answer."""

from __future__ import annotations

from cogumi_core import CogumiError, InputError


class UnknownModel(InputError):
    """No model of that name in this system."""


class Cancelled(CogumiError):
    """Whoever asked has gone; the work was stopped."""
