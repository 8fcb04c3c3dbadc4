"""A recipe: which components run, in which order, with which settings.

A section takes components of its kinds, `use:` names one, `with:` holds that component's own settings. Settings are checked in
two steps: the name is looked up first, then its own model reads `with:`, so that every message has the path the person wrote
and nothing has to be built when plugins change; components inside settings are looked up the same way. All problems are
collected; a recipe that is returned is free of them. Whether the files it names exist is the plan's question, not asked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from cogumi_core.api.component import Provided
from cogumi_core.api.errors import ComponentConflict, RecipeError, UnknownComponent
from cogumi_core.api.interfaces import Limits
from cogumi_core.api.sections import Section
from cogumi_core.api.settings import Settings
from cogumi_core.api.use import Use
from cogumi_core.plugins.near import did_you_mean
from cogumi_core.plugins.nesting import Resolver
from cogumi_core.plugins.registry import Registry
from cogumi_core.plugins.validation import Location, Problem, check, told
from cogumi_core.recipe import check as rules
from cogumi_core.recipe.form import BudgetSettings, Header, Measure, MeasureSettings, Recipe, Step
from cogumi_core.recipe.sections import sections
from cogumi_core.recipe.yaml import Document, parse_yaml, read_text

__all__ = ["Recipe", "Step", "load_recipe", "parse_recipe"]


def load_recipe(path: Path | str, registry: Registry | None = None) -> Recipe:
    """The recipe in the file `path`, for the plugins of `registry` (default: all installed). Raises RecipeError with every
    problem."""
    file = Path(path)
    recipe_text = read_text(file)
    return _Parser(recipe_text, file.name, registry or Registry.installed()).recipe(file.parent, file)


def parse_recipe(text: str, name: str = "recipe.yaml", base_dir: Path = Path(), registry: Registry | None = None) -> Recipe:
    """The recipe in `text`; `name` stands for the file's name in messages. Raises RecipeError with every problem."""
    return _Parser(text, name, registry or Registry.installed()).recipe(base_dir, None)


@dataclass(slots=True)
class _Parser:
    """Collects problems on the way from text to recipe."""

    text: str
    name: str
    registry: Registry
    problems: list[Problem] = field(default_factory=list)

    def recipe(self, base_dir: Path, path: Path | None) -> Recipe:
        document = parse_yaml(self.text, self.name)
        data = {key: value for key, value in document.data.items() if value is not None}
        self.problems += document.problems
        secrets = list(rules.secrets(document.data))
        table = sections(self.registry.host.sections)
        header = self._header(data, table)
        outer = Resolver(self.registry, None)
        engine = self._outer(outer, header.engine, "engine") or self.registry.engine()
        executor = self._outer(outer, header.executor, "executor")
        self.problems += outer.problems
        resolver = Resolver(self.registry, engine)
        drafts = {name: list(self._section(section, data.get(name), resolver)) for name, section in table.items()}
        self.problems += resolver.problems
        steps = {name: [step for step in found if step is not None] for name, found in drafts.items()}
        for name in [name for name, section in table.items() if section.shares]:
            steps[name] = self._shares(name, steps[name], drafts[name])
        self.problems += rules.combinations(data, table)
        self.problems += rules.order(header.student, table, drafts, self.registry)
        # A secret must not be shown again by a message about the same place.
        hidden = {problem.path for problem in secrets}
        self.problems = secrets + [problem for problem in self.problems if problem.path not in hidden]
        if self.problems:
            raise RecipeError(self.name, _report(document, self.problems))
        budget = header.budget or BudgetSettings()
        return Recipe(
            version=header.version,
            name=header.name or _safe_name(Path(self.name).stem),
            seed=header.seed,
            budget=Limits(budget.usd, budget.bytes),
            student=header.student,
            dataset=header.dataset,
            sections={name: tuple(found) for name, found in steps.items() if found},
            table=table,
            engine=engine,
            executor=executor,
            measure=_measure(header.measure),
            path=path,
            base_dir=base_dir,
            text=self.text,
        )

    def _header(self, data: Mapping[str, Any], table: Mapping[str, Section]) -> Header:
        """What is right of the header (the problems are noted)."""
        unknown = [key for key in data if key not in Header.model_fields and key not in table]
        known = [*Header.model_fields, *table]
        for key in unknown:
            near = did_you_mean(key, known) or f" Sections: {', '.join(known)}"
            self.problems.append(Problem((key,), f"unknown section.{near}"))
        given = {key: value for key, value in data.items() if key in Header.model_fields}
        header, problems = check(Header, given, "a recipe")
        self.problems += [_newer_version(problem, data) for problem in problems]
        wrong = {problem.path[:1] for problem in problems}
        return header or Header.model_validate({key: value for key, value in given.items() if (key,) not in wrong})

    @staticmethod
    def _outer(resolver: Resolver, use: Use[Any] | None, name: str) -> Use[Any] | None:
        return None if use is None else resolver.use(use, (name,))

    def _section(self, section: Section, value: Any, resolver: Resolver) -> Iterator[Step | None]:
        """The steps of one section; None where a component could not be found."""
        if value is None:
            return
        names = [name for kind in section.kinds for name in self.registry.names(kind)]
        example = f"{{use: {next(iter(names), 'NAME')}}}"
        if not section.many:
            if isinstance(value, list):
                self._note((section.name,), f"holds one component, not a list: write `{section.name}: {example}`")
            else:
                yield self._step(section, None, value, resolver)
        elif not isinstance(value, list):
            self._note((section.name,), f"is a list: write `- {example}` below `{section.name}:`")
        else:
            for index, item in enumerate(value):
                yield self._step(section, index, item, resolver)

    def _step(self, section: Section, index: int | None, value: Any, resolver: Resolver) -> Step | None:
        where: Location = (section.name,) if index is None else (section.name, index)
        if not isinstance(value, dict):
            found = f"{{use: {value}}}" if isinstance(value, str) else "{use: NAME, with: {...}}"
            self._note(where, f"must be a mapping: write `{found}`")
            return None
        self._unknown_keys(where, value, section)
        provided = self._provided(section.kinds, value.get("use"), where)
        share = self._share((*where, "share"), value["share"]) if section.shares and "share" in value else None
        if provided is None:
            return None
        given = value.get("with")
        if given is not None and not isinstance(given, dict):
            owner = provided.component.name
            self._note((*where, "with"), f"must be a mapping of settings of '{owner}': write `with: {{setting: value}}`")
            given = {}
        settings = resolver.settings(provided, given or {}, (*where, "with"))
        return Step(section.name, index, provided.component.kind, provided, settings or Settings(), share)

    def _unknown_keys(self, where: Location, value: Mapping[str, Any], section: Section) -> None:
        allowed = ["use", "with", "share"] if section.shares else ["use", "with"]
        for key in value:
            if key == "share" and not section.shares:
                self._note((*where, key), "only teachers (`distill:`) have a share")
            elif key not in allowed:
                near = did_you_mean(key, allowed) or f" Settings of '{value.get('use')}' go under `with:`"
                self._note((*where, key), f"unknown key.{near}")

    def _provided(self, kinds: tuple[str, ...], name: Any, where: Location) -> Provided | None:
        kind = " or ".join(kinds)
        if not isinstance(name, str) or not name:
            installed = ", ".join(name for kind in kinds for name in self.registry.names(kind))
            names = installed or f"none, no {kind} is installed"
            self._note((*where, "use") if name is not None else where, f"`use:` must name a {kind}. Installed: {names}")
            return None
        # Where several kinds may stand, the first that has the name; where none has it, the first says so.
        chosen = next((kind for kind in kinds if name in self.registry.names(kind)), kinds[0])
        try:
            return self.registry.get(chosen, name)
        except (UnknownComponent, ComponentConflict) as exc:
            self._note((*where, "use"), str(exc))
            return None

    def _share(self, where: Location, value: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            self._note(where, f"must be a number above 0 and at most 1, not {value!r}")
            return None
        return float(value)

    def _shares(self, section: str, steps: list[Step], drafts: list[Step | None]) -> list[Step]:
        """Steps with their shares: as given, or equal ones where none is given."""
        given = [step.share for step in steps if step.share is not None]
        if not given:
            return [replace(step, share=1 / len(steps)) for step in steps]
        complete = len(steps) == len(drafts) and not any(problem.path[-1:] == ("share",) for problem in self.problems)
        if complete and len(given) < len(steps):
            self._note((section,), "give every teacher a share, or none for equal shares")
        elif complete and abs(sum(given) - 1) > _SHARE_TOLERANCE:
            self._note((section,), f"shares sum to {sum(given):g}; they must sum to 1")
        return steps

    def _note(self, where: Location, message: str) -> None:
        self.problems.append(Problem(where, message))


_SHARE_TOLERANCE: Final = 1e-6


def _measure(value: MeasureSettings | bool | None) -> Measure:
    if isinstance(value, MeasureSettings):
        return Measure(text=value.text, tokens=value.tokens, context=value.context)
    return Measure(enabled=value is not False)


def _newer_version(problem: Problem, data: Mapping[str, Any]) -> Problem:
    if problem.path != ("version",):
        return problem
    return Problem(problem.path, f"this Cogumi reads version 1, not {data['version']!r}; upgrade cogumi-core or write 1")


def _safe_name(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:64] or "recipe"


def _report(document: Document, problems: list[Problem]) -> list[str]:
    """One line a problem, in the order of the file."""
    placed = [(problem.line or document.line(problem.path), problem) for problem in dict.fromkeys(problems)]
    placed.sort(key=lambda item: item[0] or 0)
    return [_line(line, problem) for line, problem in placed]


def _line(line: int | None, problem: Problem) -> str:
    return f"line {line}, {told(problem)}" if line and problem.path else told(problem)
