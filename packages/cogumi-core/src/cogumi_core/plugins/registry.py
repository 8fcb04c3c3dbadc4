"""Kind and name to component: finds it, checks its settings, makes it, and says what to do when there is none.

A name that two distributions offer belongs to neither: the conflict is raised when the name is used, so it costs nothing to
those who do not use it.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

from cogumi_core.api import interfaces
from cogumi_core.api.component import KINDS, Component, Provided
from cogumi_core.api.errors import CogumiError, ComponentConflict, MissingDependency, PluginError, RecipeError, UnknownComponent
from cogumi_core.api.interfaces import RunContext, Services
from cogumi_core.api.settings import Settings
from cogumi_core.api.types import ModelRef
from cogumi_core.api.use import Use
from cogumi_core.plugins.catalogue import distribution_for
from cogumi_core.plugins.guard import GuardedTeacher
from cogumi_core.plugins.host import PluginHost, PluginState
from cogumi_core.plugins.near import did_you_mean
from cogumi_core.plugins.nesting import Resolver
from cogumi_core.plugins.validation import told

__all__ = ["ComponentState", "Registry"]


@dataclass(frozen=True, slots=True)
class ComponentState:
    """One line of `cogumi plugins`."""

    provided: Provided
    state: Literal["ok", "failed", "conflict"]
    error: str


class Registry:
    """The components of one plugin host, and the services that those made here get.

    >>> from cogumi_core.plugins.host import PluginHost
    >>> Registry(PluginHost()).names("filter")
    ()
    """

    def __init__(
        self,
        host: PluginHost,
        *,
        environ: Mapping[str, str] | None = None,
        base_dir: Path = Path(),
        student: ModelRef | None = None,
        engine: Use[Any] | None = None,
    ) -> None:
        self.host = host
        self.services = Services(self, os.environ if environ is None else environ, base_dir, student)
        self._engine = engine

    @classmethod
    def installed(cls, environ: Mapping[str, str] | None = None) -> Registry:
        """The registry of everything that is installed here."""
        return cls(PluginHost.discover(environ), environ=environ)

    def with_services(
        self,
        *,
        base_dir: Path | None = None,
        student: ModelRef | None = None,
        environ: Mapping[str, str] | None = None,
        engine: Use[Any] | None = None,
    ) -> Registry:
        """The same plugins, with other services for the components made; what is not given stays. `engine`: what settings mean
        that leave the engine to the recipe."""
        now = self.services
        return Registry(
            self.host,
            environ=now.environ if environ is None else environ,
            base_dir=now.base_dir if base_dir is None else base_dir,
            student=now.student if student is None else student,
            engine=self._engine if engine is None else engine,
        )

    def context(self, *, seed: int = 0, scratch: Path | None = None) -> RunContext:
        """What the working methods of a component get, outside a run: for a notebook, or a script that uses one component.
        Without `scratch` it is a temporary folder. Paid calls need a store: `cogumi_core.calls.open_calls`."""
        folder = Path(mkdtemp(prefix="cogumi-")) if scratch is None else scratch
        return RunContext(seed, folder, self.services)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the contract, and those that sections of plugins brought along."""
        brought = (kind for section in self.host.sections for kind in section.kinds)
        return tuple(dict.fromkeys([*KINDS, *brought]))

    def engine(self) -> Use[Any] | None:
        """The engine that settings mean that name none: the recipe's, or the first by name that is there with all it needs."""
        if self._engine is not None:
            return self._engine
        usable = [name for name in self.names("engine") if not missing_extras(self.get("engine", name))]
        return self.resolved(Use("engine", usable[0])) if usable else None

    def names(self, kind: str) -> tuple[str, ...]:
        """Names of the components of `kind`, sorted; those in conflict are among them."""
        return tuple(sorted({item.component.name for item in self._of(kind)}))

    def get(self, kind: str, name: str) -> Provided:
        """The one component of that kind and name. Raises UnknownComponent or ComponentConflict."""
        found = [item for item in self._of(kind) if item.component.name == name]
        if len(found) > 1:
            raise ComponentConflict(_conflict(kind, name, found))
        if not found:
            raise UnknownComponent(self._unknown(kind, name))
        return found[0]

    def exporter(self, formats: Collection[str]) -> Provided | None:
        """The compressor that turns a model into one of `formats` without loss; None where there is none with all it needs."""
        exact = [item for item in self._of("compressor") if item.component.exact is not None]
        usable = (item for item in exact if item.component.produces in formats and not missing_extras(item))
        return next(usable, None)

    def produces(self, kind: str, name: str) -> str:
        """The format of what that component gives; empty for a name in conflict."""
        found = [item for item in self._of(kind) if item.component.name == name]
        return found[0].component.produces if len(found) == 1 else ""

    def create(self, kind: str, name: str, /, **settings: Any) -> Any:
        """The component, made. Raises what `get` raises, RecipeError (each wrong setting), MissingDependency, PluginError."""
        return self.make(Use(kind, name, settings))

    def make(self, use: Use[Any]) -> Any:
        """The component that a setting names. Raises as `create`."""
        ready = use if use.settings is not None else self.resolved(use)
        assert ready.provided is not None
        assert ready.settings is not None
        return self.build(ready.provided, ready.settings)

    def resolved(self, use: Use[Any]) -> Use[Any]:
        """`use` with its component looked up and its settings checked, those inside it too. Raises as `create`."""
        provided = self.get(use.kind, use.name)
        self.settings_model(provided)  # a broken plugin is no mistake in the settings
        resolver = Resolver(self, None if use.kind == "engine" else self.engine())
        settings = resolver.settings(provided, use.given, ())
        if settings is None or resolver.problems:
            owner = f"{use.kind} '{use.name}'"
            raise RecipeError(owner, [told(problem) for problem in resolver.problems])
        return Use(use.kind, use.name, use.given, provided, settings)

    def settings_model(self, provided: Provided) -> type[Settings]:
        """The component's settings model. Raises PluginError if the plugin cannot say."""
        try:
            model = provided.component.load_config()
        except Exception as exc:
            raise PluginError(_broken(provided, f"its settings '{provided.component.config}' do not load", exc)) from exc
        if not (isinstance(model, type) and issubclass(model, Settings)):
            message = f"{_who(provided)}: its settings '{provided.component.config}' are not a cogumi_core.Settings class"
            raise PluginError(message)
        return model

    def build(self, provided: Provided | Component, settings: Settings, services: Services | None = None) -> Any:
        """The component made with checked `settings`. Raises MissingDependency and PluginError."""
        item = provided if isinstance(provided, Provided) else Provided(provided, "", "")
        missing = missing_extras(item)
        if missing:
            raise MissingDependency(missing)
        try:
            made = item.component.load_factory()(settings, services or self.services)
        except CogumiError:
            raise
        except Exception as exc:
            raise PluginError(_broken(item, "it cannot be made", exc)) from exc
        _check_methods(item, made)
        return GuardedTeacher(made, _who(item)) if item.component.kind == "teacher" else made

    def states(self) -> tuple[ComponentState, ...]:
        """Every component offered, by kind and name, with what stands against using it."""
        states = [self._state(item) for item in self.host.provided]
        states += [ComponentState(item.provided, "failed", item.error) for item in self.host.rejected]
        return tuple(sorted(states, key=_order))

    def _state(self, item: Provided) -> ComponentState:
        component = item.component
        others = [other for other in self._of(component.kind) if other.component.name == component.name]
        if len(others) > 1:
            return ComponentState(item, "conflict", _conflict(component.kind, component.name, others))
        try:
            self.settings_model(item)
        except PluginError as exc:
            return ComponentState(item, "failed", str(exc))
        missing = missing_extras(item)
        return ComponentState(item, "failed" if missing else "ok", missing)

    def _of(self, kind: str) -> list[Provided]:
        if kind not in self.kinds:
            message = (
                f"there is no kind of component called '{kind}'.{did_you_mean(kind, self.kinds)} Kinds: {', '.join(self.kinds)}"
            )
            raise UnknownComponent(message)
        return [item for item in self.host.provided if item.component.kind == kind]

    def _unknown(self, kind: str, name: str) -> str:
        installed = self._of(kind)
        states = self.host.plugins
        parts = [f"no {kind} named '{name}'.{did_you_mean(name, self.names(kind))}"]
        if installed:
            parts.append(f"Installed: {_by_provider(installed)}")
        known = distribution_for(kind=kind)
        if known is not None and known not in {state.distribution for state in states}:
            parts.append(f"{'Or install' if installed else f'No {kind} is installed; try'}: pip install {known}")
        elif not installed:
            parts.append(f"No {kind} is installed")
        parts += [_plugin_note(state) for state in states if state.state != "ok"]
        parts += [item.error for item in self.host.rejected if item.provided.component.name == name]
        return ". ".join(part.rstrip(".") if not part.endswith("?") else part for part in parts).replace("?. ", "? ")


def missing_extras(provided: Provided) -> str:
    """What to install before the component can be made; empty when everything is there."""
    component = provided.component
    missing = [(extra, module) for extra, module in component.requires if not _importable(module)]
    if not missing:
        return ""
    modules = ", ".join(f"'{module}'" for _, module in missing)
    extras = ",".join(dict.fromkeys(extra for extra, _ in missing))
    target = f'"{provided.distribution}[{extras}]"' if provided.distribution else " ".join(module for _, module in missing)
    return f"{component.kind} '{component.name}' needs {modules}, not installed here; try: pip install {target}"


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _check_methods(provided: Provided, made: object) -> None:
    """A typo in a method's name is told here, with the distribution, not deep inside a stage."""
    protocol = getattr(interfaces, provided.component.kind.capitalize(), None)
    if protocol is None:
        return  # a kind that a plugin's section brought: its stage knows what it calls
    wanted = [name for name, value in vars(protocol).items() if callable(value) and not name.startswith("_")]
    absent = [name for name in wanted if not callable(getattr(made, name, None))]
    if absent:
        kind = protocol.__name__
        message = f"{_who(provided)}: {type(made).__name__} lacks {', '.join(absent)}(); see cogumi_core.api.interfaces.{kind}"
        raise PluginError(message)


def _who(provided: Provided) -> str:
    return f"{provided.component.kind} '{provided.component.name}' of {provided.provider}"


def _broken(provided: Provided, what: str, exc: Exception) -> str:
    return f"{_who(provided)}: {what} ({type(exc).__name__}: {exc}); upgrade the plugin, or report it to its authors"


def _conflict(kind: str, name: str, offers: Iterable[Provided]) -> str:
    providers = " and ".join(item.provider for item in offers)
    return f"{kind} '{name}' is offered by {providers}; uninstall one, or leave one out with COGUMI_PLUGINS"


def _by_provider(installed: Iterable[Provided]) -> str:
    """`awq, gguf (cogumi-compress 0.1.0); mine (my-plugin 1.0)`."""
    names: dict[str, list[str]] = {}
    for item in installed:
        names.setdefault(item.provider, []).append(item.component.name)
    return "; ".join(f"{', '.join(sorted(of))} ({provider})" for provider, of in sorted(names.items()))


def _plugin_note(state: PluginState) -> str:
    if state.state == "skipped":
        return f"Plugin '{state.name}' ({state.provider}) is left out by COGUMI_PLUGINS"
    return f"Plugin '{state.name}' ({state.provider}) failed: {state.error}"


def _order(state: ComponentState) -> tuple[int, str, str]:
    component = state.provided.component
    rank = KINDS.index(component.kind) if component.kind in KINDS else len(KINDS)
    return rank, component.name, state.provided.distribution
