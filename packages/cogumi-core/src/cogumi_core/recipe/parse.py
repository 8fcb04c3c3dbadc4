"""A recipe: which components run, in which order, with which settings.

A section is a kind, `use:` names the component, `with:` holds that component's own settings. Settings are checked in two steps:
the name is looked up first, then its own model reads `with:`, so that every message has the path the person wrote and nothing
has to be built when plugins change. All problems are collected; a recipe that is returned is free of them. Whether the files
it names exist is the plan's question, not asked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cogumi_core.api.errors import ComponentConflict, PluginError, RecipeError, UnknownComponent
from cogumi_core.api.settings import Settings
from cogumi_core.plugins.host import Provided
from cogumi_core.plugins.near import did_you_mean
from cogumi_core.plugins.registry import Registry
from cogumi_core.plugins.validation import Location, Problem, check, told
from cogumi_core.recipe import check as rules
from cogumi_core.recipe.form import LISTS, SECTIONS, Budget, BudgetSettings, Header, Measure, MeasureSettings, Recipe, Step
from cogumi_core.recipe.yaml import Document, parse_yaml, read_text

__all__ = ["LISTS", "SECTIONS", "Budget", "Header", "Measure", "Recipe", "Step", "load_recipe", "parse_recipe"]


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
        header = self._header(data)
        drafts = {section: list(self._section(section, data.get(section))) for section in SECTIONS}
        steps = {section: [step for step in found if step is not None] for section, found in drafts.items()}
        steps["distill"] = self._shares(steps["distill"], drafts["distill"])
        self.problems += rules.combinations(data)
        self.problems += rules.order(header.student, drafts)
        # A secret must not be shown again by a message about the same place.
        hidden = {problem.path for problem in secrets}
        self.problems = secrets + [problem for problem in self.problems if problem.path not in hidden]
        if self.problems:
            raise RecipeError(self.name, _report(document, self.problems))
        return self._assemble(header, steps, base_dir, path)

    def _assemble(self, header: Header, steps: Mapping[str, list[Step]], base_dir: Path, path: Path | None) -> Recipe:
        budget = header.budget or BudgetSettings()
        several = {section: tuple(found) for section, found in steps.items()}
        return Recipe(
            version=header.version,
            name=header.name or _safe_name(Path(self.name).stem),
            seed=header.seed,
            budget=Budget(budget.usd, budget.bytes),
            student=header.student,
            dataset=header.dataset,
            sources=several["sources"],
            distill=several["distill"],
            filter=several["filter"],
            dedup=next(iter(several["dedup"]), None),
            train=next(iter(several["train"]), None),
            compress=several["compress"],
            modifiers=several["modifiers"],
            router=next(iter(several["router"]), None),
            measure=_measure(header.measure),
            path=path,
            base_dir=base_dir,
            text=self.text,
        )

    def _header(self, data: Mapping[str, Any]) -> Header:
        """What is right of the header (the problems are noted)."""
        unknown = [key for key in data if key not in Header.model_fields and key not in SECTIONS]
        known = [*Header.model_fields, *SECTIONS]
        for key in unknown:
            near = did_you_mean(key, known) or f" Sections: {', '.join(known)}"
            self.problems.append(Problem((key,), f"unknown section.{near}"))
        given = {key: value for key, value in data.items() if key in Header.model_fields}
        header, problems = check(Header, given, "a recipe")
        self.problems += [_newer_version(problem, data) for problem in problems]
        wrong = {problem.path[:1] for problem in problems}
        return header or Header.model_validate({key: value for key, value in given.items() if (key,) not in wrong})

    def _section(self, section: str, value: Any) -> Iterator[Step | None]:
        """The steps of one section; None where a component could not be found."""
        if value is None:
            return
        example = f"{{use: {next(iter(self.registry.names(SECTIONS[section])), 'NAME')}}}"
        if section not in LISTS:
            if isinstance(value, list):
                self._note((section,), f"holds one component, not a list: write `{section}: {example}`")
            else:
                yield self._step(section, None, value)
        elif not isinstance(value, list):
            self._note((section,), f"is a list: write `- {example}` below `{section}:`")
        else:
            for index, item in enumerate(value):
                yield self._step(section, index, item)

    def _step(self, section: str, index: int | None, value: Any) -> Step | None:
        where: Location = (section,) if index is None else (section, index)
        if not isinstance(value, dict):
            found = f"{{use: {value}}}" if isinstance(value, str) else "{use: NAME, with: {...}}"
            self._note(where, f"must be a mapping: write `{found}`")
            return None
        kind = SECTIONS[section]
        self._unknown_keys(where, value, section)
        provided = self._provided(kind, value.get("use"), where)
        share = self._share((*where, "share"), value["share"]) if section == "distill" and "share" in value else None
        if provided is None:
            return None
        settings = self._settings(provided, value.get("with"), (*where, "with"))
        return Step(section, index, kind, provided, settings, share)

    def _unknown_keys(self, where: Location, value: Mapping[str, Any], section: str) -> None:
        allowed = ["use", "with", "share"] if section == "distill" else ["use", "with"]
        for key in value:
            if key == "share" and section != "distill":
                self._note((*where, key), "only teachers (`distill:`) have a share")
            elif key not in allowed:
                near = did_you_mean(key, allowed) or f" Settings of '{value.get('use')}' go under `with:`"
                self._note((*where, key), f"unknown key.{near}")

    def _provided(self, kind: str, name: Any, where: Location) -> Provided | None:
        if not isinstance(name, str) or not name:
            names = ", ".join(self.registry.names(kind)) or f"none, no {kind} is installed"
            self._note((*where, "use") if name is not None else where, f"`use:` must name a {kind}. Installed: {names}")
            return None
        try:
            return self.registry.get(kind, name)
        except (UnknownComponent, ComponentConflict) as exc:
            self._note((*where, "use"), str(exc))
            return None

    def _settings(self, provided: Provided, value: Any, where: Location) -> Settings:
        """The checked settings, or empty ones where they are wrong (the problems are noted)."""
        owner = f"'{provided.component.name}'"
        if value is not None and not isinstance(value, dict):
            self._note(where, f"must be a mapping of settings of {owner}: write `with: {{setting: value}}`")
            return Settings()
        try:
            model = self.registry.settings_model(provided)
        except PluginError as exc:
            self._note((*where[:-1], "use"), str(exc))
            return Settings()
        settings, problems = check(model, value or {}, owner)
        self.problems += [Problem((*where, *problem.path), problem.message) for problem in problems]
        return settings or Settings()

    def _share(self, where: Location, value: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            self._note(where, f"must be a number above 0 and at most 1, not {value!r}")
            return None
        return float(value)

    def _shares(self, teachers: list[Step], drafts: list[Step | None]) -> list[Step]:
        """Teachers with their shares: as given, or equal ones where none is given."""
        given = [step.share for step in teachers if step.share is not None]
        if not given:
            return [_with_share(step, 1 / len(teachers)) for step in teachers]
        complete = len(teachers) == len(drafts) and not any(problem.path[-1:] == ("share",) for problem in self.problems)
        if complete and len(given) < len(teachers):
            self._note(("distill",), "give every teacher a share, or none for equal shares")
        elif complete and abs(sum(given) - 1) > _SHARE_TOLERANCE:
            self._note(("distill",), f"shares sum to {sum(given):g}; they must sum to 1")
        return teachers

    def _note(self, where: Location, message: str) -> None:
        self.problems.append(Problem(where, message))


_SHARE_TOLERANCE: Final = 1e-6


def _with_share(step: Step, share: float) -> Step:
    return Step(step.section, step.index, step.kind, step.provided, step.settings, share)


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
