"""What makes a plugin or a component unusable, told before it is used."""

from __future__ import annotations

from typing import Final

import pluggy

from cogumi_core.api import hookspecs
from cogumi_core.api.component import API_VERSION, KINDS, Component
from cogumi_core.api.hookspecs import GROUP
from cogumi_core.plugins.near import did_you_mean

__all__ = [
    "COMMANDS_HOOK",
    "EVENT_HOOKS",
    "REGISTER_HOOKS",
    "SECTIONS_HOOK",
    "HookError",
    "check_hooks",
    "component_problem",
    "new_manager",
]

REGISTER_HOOKS: Final = {**{f"cogumi_register_{kind}s": kind for kind in KINDS}, "cogumi_register_components": ""}
"""Hook to the kind it gives; the last one gives components of kinds that sections of plugins bring along."""
SECTIONS_HOOK: Final = "cogumi_register_sections"
COMMANDS_HOOK: Final = "cogumi_register_commands"
EVENT_HOOKS: Final = {
    "StageStarted": "cogumi_stage_started",
    "StageProgress": "cogumi_stage_progress",
    "StageFinished": "cogumi_stage_finished",
    "StageFailed": "cogumi_stage_failed",
}


class HookError(Exception):
    """What is wrong with the hook implementations of one plugin."""


def new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def check_hooks(module: object, key: str) -> None:
    """Raises HookError. A manager of its own, so that what is wrong with one plugin leaves no trace in the others'."""
    trial = new_manager()
    try:
        trial.register(module, key)
    except pluggy.PluginValidationError as exc:
        raise HookError(" ".join(str(exc).split())) from exc
    hooks = trial.get_hookcallers(module) or []
    known = {*REGISTER_HOOKS, *EVENT_HOOKS.values(), COMMANDS_HOOK, SECTIONS_HOOK}
    problems = [f"unknown hook '{hook.name}'.{did_you_mean(hook.name, known)}" for hook in hooks if not hook.has_spec()]
    found = [implementation for hook in hooks for implementation in hook.get_hookimpls()]
    wrappers = [implementation for implementation in found if implementation.wrapper or implementation.hookwrapper]
    problems += [f"'{wrapper.function.__name__}' is a hook wrapper, which is never called" for wrapper in wrappers]
    if not hooks:
        bare = ", ".join(sorted(known & set(dir(module))))
        problems.append(f"@hookimpl is missing above {bare}" if bare else "it implements no hook; see docs/plugins.md")
    if problems:
        raise HookError("; ".join(problems))


def component_problem(component: Component, kinds: frozenset[str], hook: str) -> str:
    """What is wrong with a component that a hook for `kinds` gave; empty for nothing."""
    if component.kind not in kinds:
        known = component.kind in KINDS
        right = f"; it belongs in cogumi_register_{component.kind}s" if known else ", and no section takes that kind"
        return f"{hook} gave '{component.name}' of kind '{component.kind}'{right}"
    if component.api_version != API_VERSION:
        return (
            f"{component.kind} '{component.name}' is made for plugin API {component.api_version}, this cogumi-core has "
            f"{API_VERSION}; upgrade {'cogumi-core' if component.api_version > API_VERSION else 'the plugin'}"
        )
    return ""
