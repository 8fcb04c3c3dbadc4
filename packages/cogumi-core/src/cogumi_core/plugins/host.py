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

from cogumi_core.api.component import KINDS, Component, Provided, provider
from cogumi_core.api.hookspecs import GROUP
from cogumi_core.plugins.checks import (
    COMMANDS_HOOK,
    EVENT_HOOKS,
    REGISTER_HOOKS,
    SECTIONS_HOOK,
    HookError,
    check_hooks,
    component_problem,
    new_manager,
)
from cogumi_core.plugins.near import did_you_mean

if TYPE_CHECKING:
    import click

    from cogumi_core.api.events import Event
    from cogumi_core.api.sections import Section

__all__ = ["ALLOW_LIST", "PluginHost", "PluginState", "Rejected"]

ALLOW_LIST: Final = "COGUMI_PLUGINS"
"""Environment variable: comma-separated names of entry points or distributions; nothing else is loaded. Empty: no plugin."""

log = logging.getLogger(__name__)


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
        return provider(self.distribution, self.version)


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
    sections: list[Section] = field(default_factory=list)
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
        found = [(_plugin(point), point) for point in metadata.entry_points(group=GROUP)]
        found.sort(key=lambda item: (item[0].distribution, item[0].name))
        for plugin, point in found:
            host._load(plugin, point, allowed)
        host._note_unknown(allowed, {_normal(text) for plugin, _ in found for text in (plugin.name, plugin.distribution)})
        return host

    def register(self, module: object, name: str, distribution: str = "", version: str = "") -> None:
        """Adds a plugin module (or any object with hook implementations). What is wrong with it is recorded in `plugins`."""
        self._admit(_Plugin(name, distribution, version), lambda: module)

    @property
    def provided(self) -> tuple[Provided, ...]:
        """Every component offered by a plugin, in a fixed order; registration hooks are called on the first use."""
        return tuple(item for plugin in self._collected() for item in plugin.provided)

    @property
    def sections(self) -> tuple[Section, ...]:
        """Sections of recipes that plugins bring, in a fixed order."""
        return tuple(section for plugin in self._collected() for section in plugin.sections)

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

    def _load(self, plugin: _Plugin, point: metadata.EntryPoint, allowed: frozenset[str] | None) -> None:
        if allowed is not None and not allowed & {_normal(plugin.name), _normal(plugin.distribution)}:
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

    def _note_unknown(self, allowed: frozenset[str] | None, names: Collection[str]) -> None:
        for name in sorted((allowed or frozenset()).difference(names)):
            message = f"{ALLOW_LIST} names it, but no such plugin is installed.{did_you_mean(name, names)}"
            self._plugins[f"?{name}"] = _Plugin(name, "", "", collected=True, errors=[message])

    # --- hooks, typed ---------------------------------------------------------------------------------------------------

    def _collected(self) -> Iterator[_Plugin]:
        """Every plugin, its hooks called. All sections come first: a plugin may offer a component for another's section."""
        new = {key: plugin for key, plugin in self._plugins.items() if not plugin.collected}
        for plugin in new.values():
            plugin.collected = True
        for owner, call in self._implementations(SECTIONS_HOOK):
            if owner in new:
                _collect_sections(new[owner], call)
        everywhere = (section for plugin in self._plugins.values() for section in plugin.sections)
        brought = frozenset(kind for section in everywhere for kind in section.kinds) - frozenset(KINDS)
        for hook, kind in REGISTER_HOOKS.items():
            for owner, call in self._implementations(hook):
                if owner in new:
                    _collect_one(new[owner], hook, frozenset({kind}) if kind else brought, call)
        yield from list(self._plugins.values())

    def _implementations(self, hook: str) -> Iterator[tuple[str, Callable[..., Any]]]:
        """(plugin key, call) for each implementation of `hook`, first registered first."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            names = implementation.argnames

            # An implementation may take fewer arguments than the hook offers.
            def call(*, _function: Any = implementation.function, _names: tuple[str, ...] = tuple(names), **given: Any) -> Any:
                return _function(*(given[name] for name in _names))

            yield implementation.plugin_name, call


def _collect_sections(plugin: _Plugin, call: Callable[..., Any]) -> None:
    from cogumi_core.api.sections import Section

    try:
        for offered in call() or ():
            if isinstance(offered, Section):
                plugin.sections.append(offered)
            else:
                plugin.errors.append(f"{SECTIONS_HOOK} gave {type(offered).__name__} {offered!r:.60}, not a Section")
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - the plugin boundary
        plugin.errors.append(f"{SECTIONS_HOOK} raised {_text(exc)}")


def _collect_one(plugin: _Plugin, hook: str, kinds: frozenset[str], call: Callable[..., Any]) -> None:
    """Takes what one registration hook yields; what is wrong costs only itself and what a raising generator had not yielded."""
    try:
        for offered in call() or ():
            if not isinstance(offered, Component):
                plugin.errors.append(f"{hook} gave {type(offered).__name__} {offered!r:.60}, not a Component")
                continue
            provided = Provided(offered, plugin.distribution, plugin.version)
            problem = component_problem(offered, kinds, hook)
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


def _plugin(point: metadata.EntryPoint) -> _Plugin:
    """Name and version are read out of the distribution's metadata, which Python parses anew each time: so once."""
    if point.dist is None:
        return _Plugin(point.name, "", "")
    about = point.dist.metadata
    return _Plugin(point.name, about["Name"], about["Version"])


def _text(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}".rstrip(": ")
