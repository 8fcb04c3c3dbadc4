"""Builds the adapter of one domain from a benchmark: probe, collect failures, train, validate as served, accept or refuse.

    class Greek: ...          # a Benchmark: domain, tasks(split), grade(task, answer)

    def greek(settings, services):
        return DomainModifier("greek", Greek(), settings, services)

    Component("modifier", "greek", "...", config="cogumi_modifiers.config:DomainSettings", factory=greek,
              accepts=frozenset({"gguf"}))

Most of what looks like a gain of a small adapter is format: a base that prints prose fails every parser. So the adapter is
measured against the strongest untrained configuration, on held-out tasks that both answer through the engine that will serve
them, with a paired test; if it does not win beyond chance it is refused. Teachers' answers as training data, clusters of
failures and rank truncation are left out. Nothing heavy is imported before `build` runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cogumi_core.api.errors import InputError
from cogumi_core.api.interfaces import Benchmark, Engine, RunContext, Services, Session
from cogumi_core.api.types import Grade, ModelRef, ModifierReport, Task
from cogumi_modifiers.config import DomainSettings
from cogumi_modifiers.domains.probe import Answer, Configuration, ask, example_turns

if TYPE_CHECKING:
    from cogumi_modifiers.domains.adapter_training import TrainedAdapter

ADAPTER: Final = "adapter.gguf"
OUTCOMES: Final = "outcomes.jsonl"
EXAMPLES: Final = 2


@dataclass(frozen=True, slots=True)
class Outcomes:
    """One configuration's answers and grades, by task id."""

    configuration: Configuration
    answers: Mapping[str, Answer]
    grades: Mapping[str, Grade]

    def correct(self, tasks: Sequence[Task]) -> list[bool]:
        return [self.grades[task.id].correct for task in tasks]


@dataclass(frozen=True, slots=True)
class Tasks:
    """The splits, without the tasks whose prompts are too long; `dropped` counts those."""

    mine: tuple[Task, ...]
    train: tuple[Task, ...]
    validate: tuple[Task, ...]
    dropped: int


class DomainModifier:
    """A modifier for `domain`. `settings` may be of a class that extends `DomainSettings`."""

    def __init__(self, domain: str, benchmark: Benchmark, settings: DomainSettings, services: Services) -> None:
        self.domain = domain
        self._benchmark = benchmark
        self._settings = settings
        self._services = services

    def build(self, base: ModelRef, output: Path, run: RunContext) -> ModifierReport:
        """Writes `adapter.gguf` and `outcomes.jsonl`, also when the adapter is refused. Raises InputError: the base is no GGUF
        file, or the benchmark has too little to train or validate on."""
        from cogumi_modifiers.domains.adapter_training import train_adapter
        from cogumi_modifiers.domains.report import Findings, make_report, write_outcomes

        if base.format != "gguf":
            message = (
                f"the modifier '{self.domain}' needs the GGUF file that will be served, not a model in '{base.format}' form"
            )
            raise InputError(message)
        tasks, probed, baselines = self._probe(base, run)
        training = tuple(self._training_tasks(tasks, probed))
        run.log(f"{self.domain}: training on {len(training)} tasks, {len(tasks.train)} of them never asked before")
        trained = train_adapter(base, training, self._settings, domain=self.domain, run=run)
        adapted = self._validate(base, tasks, trained, run)
        findings = Findings(self.domain, tasks, training, probed, baselines, adapted, trained)
        shutil.copyfile(trained.path, output / ADAPTER)
        write_outcomes(findings, output / OUTCOMES)
        return make_report(findings, alpha=self._settings.alpha, seed=run.seed)

    # --- the phases ---

    def _probe(self, base: ModelRef, run: RunContext) -> tuple[Tasks, Outcomes, list[Outcomes]]:
        """The base's answers on the mined tasks and, as the first of the baselines, on the held-out ones."""
        with closing(self._open(base, {})) as session:
            tasks = self._fitting_tasks(session)
            configurations = self._configurations(tasks)
            probed = self._ask(session, tasks.mine, configurations[0], run)
            baselines = [self._ask(session, tasks.validate, configuration, run) for configuration in configurations]
        return tasks, probed, baselines

    def _validate(self, base: ModelRef, tasks: Tasks, trained: TrainedAdapter, run: RunContext) -> Outcomes:
        with closing(self._open(base, {self.domain: trained.path})) as session:
            name = "adapter + grammar" if _constrained(tasks) else "adapter"
            return self._ask(session, tasks.validate, Configuration(name, adapter=self.domain), run)

    def _training_tasks(self, tasks: Tasks, probed: Outcomes) -> Iterator[Task]:
        """References of the training split and the mined failures, and some of what the base can do already, lest it forget."""
        yield from (task for task in tasks.train if task.reference)
        mined = [task for task in tasks.mine if task.reference]
        yield from (task for task in mined if not probed.grades[task.id].correct)
        known = [task for task in mined if probed.grades[task.id].correct]
        yield from known[: round(self._settings.replay * len(known))]

    # --- inside ---

    def _open(self, base: ModelRef, adapters: Mapping[str, Path]) -> Session:
        settings = self._settings
        # Two examples are two more prompts and answers.
        prompts = 1 + EXAMPLES if "examples" in settings.baselines else 1
        threads = {"threads": settings.engine_threads} if settings.engine_threads else {}
        engine: Engine = self._services.registry.create("engine", settings.engine, **threads)
        context = prompts * (settings.max_prompt_tokens + settings.max_tokens)
        return engine.open(base.path, adapters=adapters, context_tokens=context)

    def _fitting_tasks(self, session: Session) -> Tasks:
        limit = self._settings.max_prompt_tokens
        splits = {split: tuple(self._benchmark.tasks(split)) for split in ("mine", "train", "validate")}
        fitting = {
            split: tuple(task for task in tasks if session.count_prompt_tokens(task.messages) <= limit)
            for split, tasks in splits.items()
        }
        dropped = sum(map(len, splits.values())) - sum(map(len, fitting.values()))
        self._check(fitting, dropped)
        return Tasks(**fitting, dropped=dropped)

    def _check(self, fitting: Mapping[str, Sequence[Task]], dropped: int) -> None:
        left_out = (
            f" ({dropped} tasks were left out, with prompts over {self._settings.max_prompt_tokens} tokens)" if dropped else ""
        )
        if not fitting["validate"]:
            message = f"the benchmark of '{self.domain}' has no task to validate on{left_out}; give the split 'validate' some"
            raise InputError(message)
        if not any(task.reference for task in (*fitting["train"], *fitting["mine"])):
            message = f"the benchmark of '{self.domain}' has no task with a reference answer to train on{left_out}"
            raise InputError(message)

    def _configurations(self, tasks: Tasks) -> list[Configuration]:
        """The untrained ones to beat. The first is how the base is served: under a grammar wherever a task has a schema."""
        constrained = _constrained(tasks)
        found = [Configuration("base + grammar" if constrained else "base")]
        if constrained and "plain" in self._settings.baselines:
            found.append(Configuration("base", grammar=False))
        solved = [task for task in tasks.train if task.reference][:EXAMPLES]
        if "examples" in self._settings.baselines and solved:
            suffix = " + grammar" if constrained else ""
            found.append(Configuration(f"base + {len(solved)} examples{suffix}", examples=example_turns(solved)))
        return found

    def _ask(self, session: Session, tasks: Sequence[Task], configuration: Configuration, run: RunContext) -> Outcomes:
        answers = ask(session, tasks, configuration, max_tokens=self._settings.max_tokens, run=run)
        grades = {task.id: self._benchmark.grade(task, answers[task.id].text) for task in tasks}
        return Outcomes(configuration, answers, grades)


def _constrained(tasks: Tasks) -> bool:
    return any(task.schema is not None for task in tasks.validate)
