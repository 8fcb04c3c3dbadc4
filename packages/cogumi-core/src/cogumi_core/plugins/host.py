"""Finds plugins, keeps a broken one from costing more than itself, and knows which distribution provides what.

pluggy's own loader stops at the first plugin that fails to import and silently skips the second of two entry points with one
name. So entry points are loaded here one by one, each under a name of its own, and registration hooks are called
implementation by implementation. Which of several components to use is the registry's business, not the host's.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final, Literal

from cogumi_core.api.component import Component
from cogumi_core.api.hookspecs import GROUP
from cogumi_core.plugins.checks import (
    COMMANDS_HOOK,
    EVENT_HOOKS,
    REGISTER_HOOKS,
    HookError,
    check_hooks,
    component_problem,
    new_manager,
)
from cogumi_core.plugins.near import did_you_mean

if TYPE_CHECKING:
    import click

    from cogumi_core.api.events import Event

__all__ = ["ALLOW_LIST", "PluginHost", "PluginState", "Provided", "Rejected"]

ALLOW_LIST: Final = "COGUMI_PLUGINS"
"""Environment variable: comma-separated names of entry points or distributions; nothing else is loaded. Empty: no plugin."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Provided:
    """A component and the distribution that offers it (empty for a plugin registered by hand)."""

    component: Component
    distribution: str
    version: str

    @property
    def provider(self) -> str:
        """`cogumi-compress 0.1.0`, for messages."""
        return _provider(self.distribution, self.version)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A component that a plugin offered and the host refused, and why."""

    provided: Provided
    error: str


@dataclass(frozen=True, slots=True)
class PluginState:
    """How loading one plugin went. `skipped`: the allow-list left it out."""

    name: str
    distribution: str
    version: str
    state: Literal["ok", "failed", "skipped"]
    error: str

    @property
    def provider(self) -> str:
        """`cogumi-compress 0.1.0`, for messages."""
        return _provider(self.distribution, self.version)


@dataclass(slots=True)
class _Plugin:
    """What the host keeps of one plugin; `collected` once its registration hooks were called."""

    name: str
    distribution: str
    version: str
    skipped: bool = False
    collected: bool = False
    errors: list[str] = field(default_factory=list)
    provided: list[Provided] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def state(self) -> PluginState:
        word: Literal["ok", "failed", "skipped"] = "failed" if self.errors else "skipped" if self.skipped else "ok"
        error = "; ".join(self.errors) or (f"not in {ALLOW_LIST}" if self.skipped else "")
        return PluginState(self.name, self.distribution, self.version, word, error)


class PluginHost:
    """The plugins of one process. Made by `discover` from what is installed, or empty and filled by `register`.

    >>> host = PluginHost()
    >>> host.provided
    ()
    """

    def __init__(self) -> None:
        self._manager = new_manager()
        self._plugins: dict[str, _Plugin] = {}
        self._muted: set[str] = set()

    @classmethod
    def discover(cls, environ: Mapping[str, str] | None = None) -> PluginHost:
        """A host with every installed plugin that the allow-list in `environ` (default: the process's) lets in."""
        host = cls()
        allowed = _allow_list(os.environ if environ is None else environ)
        points = sorted(metadata.entry_points(group=GROUP), key=lambda point: (_distribution(point), point.name))
        for point in points:
            host._load(point, allowed)
        host._note_unknown(allowed, points)
        return host

    def register(self, module: object, name: str, distribution: str = "", version: str = "") -> None:
        """Adds a plugin module (or any object with hook implementations). What is wrong with it is recorded in `plugins`."""
        self._admit(_Plugin(name, distribution, version), lambda: module)

    @property
    def provided(self) -> tuple[Provided, ...]:
        """Every component offered by a plugin, in a fixed order; registration hooks are called on the first use."""
        return tuple(item for plugin in self._collected() for item in plugin.provided)

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """Components that were offered but break the contract."""
        return tuple(item for plugin in self._collected() for item in plugin.rejected)

    @property
    def plugins(self) -> tuple[PluginState, ...]:
        """How every plugin fared, failed and skipped ones included."""
        return tuple(plugin.state() for plugin in self._collected())

    def notify(self, event: Event) -> None:
        """Hands an event to the plugins that listen. One that raises is logged and not called again."""
        hook = EVENT_HOOKS.get(type(event).__name__)
        if hook is None:
            return
        for key, call in self._implementations(hook):
            if key in self._muted:
                continue
            try:
                call(event=event)
            except Exception as exc:  # noqa: BLE001 - the plugin boundary
                self._muted.add(key)
                plugin = self._plugins[key]
                log.warning("plugin %s (%s) hears no more events: %s: %s", plugin.name, plugin.distribution, hook, _text(exc))

    def add_commands(self, cli: click.Group, reserved: Collection[str] = ()) -> None:
        """Adds the plugins' commands to `cli`. A plugin whose hook raises, or that takes a name which is taken (`reserved` or
        another plugin's), loses only that."""
        import click

        for key, call in self._implementations(COMMANDS_HOOK):
            plugin, own = self._plugins[key], click.Group()
            try:
                call(cli=own)
            except Exception as exc:  # noqa: BLE001 - the plugin boundary
                _note(plugin, f"{COMMANDS_HOOK} raised {_text(exc)}")
            for name, command in own.commands.items():
                if name in reserved or name in cli.commands:
                    _note(plugin, f"its command '{name}' is left out: another one has that name")
                else:
                    cli.add_command(command, name)

    # --- loading --------------------------------------------------------------------------------------------------------

    def _load(self, point: metadata.EntryPoint, allowed: frozenset[str] | None) -> None:
        version = point.dist.version if point.dist is not None else ""
        plugin = _Plugin(point.name, _distribution(point), version)
        if allowed is not None and not allowed & {_normal(point.name), _normal(plugin.distribution)}:
            plugin.skipped = plugin.collected = True
            self._plugins[self._key(plugin)] = plugin
        else:
            self._admit(plugin, point.load)

    def _admit(self, plugin: _Plugin, load: Callable[[], object]) -> None:
        key = self._key(plugin)
        self._plugins[key] = plugin
        try:
            # Standard output belongs to results: a plugin that prints while it is imported must not spoil `--json`.
            with contextlib.redirect_stdout(sys.stderr):
                module = load()
            check_hooks(module, key)
            self._manager.register(module, key)
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - the plugin boundary
            plugin.errors.append(str(exc) if isinstance(exc, HookError) else _text(exc))
            plugin.collected = True

    def _key(self, plugin: _Plugin) -> str:
        """A name for pluggy: two distributions may well call their entry points the same."""
        key = base = f"{plugin.distribution}:{plugin.name}"
        count = 1
        while key in self._plugins:
            count += 1
            key = f"{base}#{count}"
        return key

    def _note_unknown(self, allowed: frozenset[str] | None, points: list[metadata.EntryPoint]) -> None:
        names = {_normal(text) for point in points for text in (point.name, _distribution(point))}
        for name in sorted((allowed or frozenset()) - names):
            message = f"{ALLOW_LIST} names it, but no such plugin is installed.{did_you_mean(name, names)}"
            self._plugins[f"?{name}"] = _Plugin(name, "", "", collected=True, errors=[message])

    # --- hooks, typed ---------------------------------------------------------------------------------------------------

    def _collected(self) -> Iterator[_Plugin]:
        for key, plugin in list(self._plugins.items()):
            if not plugin.collected:
                plugin.collected = True
                self._collect(key, plugin)
            yield plugin

    def _collect(self, key: str, plugin: _Plugin) -> None:
        for hook, kind in REGISTER_HOOKS.items():
            for owner, call in self._implementations(hook):
                if owner == key:
                    _collect_one(plugin, hook, kind, call)

    def _implementations(self, hook: str) -> Iterator[tuple[str, Callable[..., Any]]]:
        """(plugin key, call) for each implementation of `hook`, first registered first."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            names = implementation.argnames

            # An implementation may take fewer arguments than the hook offers.
            def call(*, _function: Any = implementation.function, _names: tuple[str, ...] = tuple(names), **given: Any) -> Any:
                return _function(*(given[name] for name in _names))

            yield implementation.plugin_name, call


def _collect_one(plugin: _Plugin, hook: str, kind: str, call: Callable[..., Any]) -> None:
    """Takes what one registration hook yields; what is wrong costs only itself and what a raising generator had not yielded."""
    try:
        for offered in call() or ():
            if not isinstance(offered, Component):
                plugin.errors.append(f"{hook} gave {type(offered).__name__} {offered!r:.60}, not a Component")
                continue
            provided = Provided(offered, plugin.distribution, plugin.version)
            problem = component_problem(offered, kind, hook)
            if problem:
                plugin.errors.append(problem)
                plugin.rejected.append(Rejected(provided, problem))
            else:
                plugin.provided.append(provided)
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - the plugin boundary
        plugin.errors.append(f"{hook} raised {_text(exc)}")


def _note(plugin: _Plugin, error: str) -> None:
    if error not in plugin.errors:
        plugin.errors.append(error)
        log.warning("plugin %s: %s", plugin.state().provider, error)


def _allow_list(environ: Mapping[str, str]) -> frozenset[str] | None:
    text = environ.get(ALLOW_LIST)
    return None if text is None else frozenset(_normal(name) for name in text.split(",") if name.strip())


def _normal(name: str) -> str:
    """Names of distributions compare as the packaging standard says: `Cogumi_Compress` is `cogumi-compress`."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _distribution(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else ""


def _provider(distribution: str, version: str) -> str:
    return f"{distribution} {version}".strip() or "this program"


def _text(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}".rstrip(": ")
