"""The record a plugin hands over for each thing it offers, and its loading on first use.

`config` and `factory` are import strings (`"module:Name"`), so that listing plugins imports neither pydantic models nor heavy
libraries. A class or function is accepted too, for tests and one-file plugins.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cogumi_core.api.settings import Settings

API_VERSION: Final = 2
KINDS: Final = (
    "source",
    "teacher",
    "filter",
    "deduper",
    "trainer",
    "compressor",
    "benchmark",
    "modifier",
    "router",
    "engine",
    "executor",
)
"""The kinds of the contract, in the order in which a recipe uses them. A plugin that adds a section may add a kind with it."""


@dataclass(frozen=True, slots=True)
class Component:
    """One named implementation of a kind.

    `version` is raised by hand when results change: it is part of a stage's fingerprint. `requires` pairs an extra of the
    distribution with the import name that shows it is there. `uses` names inputs beyond the usual ones of the kind, which
    then are part of the fingerprint: `student` (the recipe's), `calibration` (texts of the training data), `reference` (the
    uncompressed student). `deterministic` False: the stored artifact is the only truth, and `why_not` says why in a clause.

    `accepts` / `produces` are model formats, for compressors, trainers, modifiers and engines (which produce none): they stand
    here and not on the class, so that the order of stages is checked, and the engine for a format found, without importing
    what they need. `exact` are the settings with which a compressor turns a model into its format without loss: it then serves
    to make the uncompressed student runnable. `packs`: its result is the same model, packed for carrying.

    `estimate(settings, inputs) -> Estimate` serves `cogumi plan`.

    >>> Component("filter", "short", "drops short answers", config="my_plugin:ShortSettings", factory="my_plugin:Short")
    Component(kind='filter', name='short', ...)
    """

    kind: str
    name: str
    summary: str
    config: str | type[Settings]
    factory: str | Callable[[Any, Any], Any]
    version: str = "1"
    requires: tuple[tuple[str, str], ...] = ()
    uses: frozenset[str] = frozenset()
    deterministic: bool = True
    why_not: str = ""
    accepts: frozenset[str] = frozenset()
    produces: str = ""
    exact: Mapping[str, Any] | None = None
    packs: bool = False
    estimate: str | Callable[..., Any] | None = None
    api_version: int = API_VERSION

    def load_config(self) -> type[Settings]:
        """The settings model. Raises ImportError or AttributeError when the plugin is broken."""
        loaded: type[Settings] = load_object(self.config) if isinstance(self.config, str) else self.config
        return loaded

    def load_factory(self) -> Callable[[Any, Any], Any]:
        """The factory, `factory(settings, services)`. Raises ImportError or AttributeError."""
        loaded: Callable[[Any, Any], Any] = load_object(self.factory) if isinstance(self.factory, str) else self.factory
        return loaded


@dataclass(frozen=True, slots=True)
class Provided:
    """A component and the distribution that offers it (empty for a plugin registered by hand)."""

    component: Component
    distribution: str
    version: str

    @property
    def provider(self) -> str:
        """`cogumi-compress 0.1.0`, for messages."""
        return provider(self.distribution, self.version)


def provider(distribution: str, version: str) -> str:
    """Who offers something, for messages."""
    return f"{distribution} {version}".strip() or "this program"


def load_object(reference: str) -> Any:
    """The object that `"package.module:Name"` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
