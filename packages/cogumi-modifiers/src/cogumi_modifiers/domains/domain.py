"""Builds adapters of one domain from a benchmark: probe, collect failures, train, validate as served, accept or refuse.

The benchmark is a setting, so a domain needs no code of its own; a plugin that wants a name and defaults for one registers this
class with settings that extend `DomainSettings`:

    class GreekSettings(DomainSettings):
        benchmark: Use[Benchmark] = Field("greek", description="the tasks")

    Component("modifier", "greek", "...", config="my_plugin:GreekSettings",
              factory="cogumi_modifiers.domains.domain:DomainModifier", accepts=frozenset({"gguf"}))

Most of what looks like a gain of a small adapter is format: a base that prints prose fails every parser. So each adapter is
measured against the strongest untrained configuration, on held-out tasks that both answer through the engine that will serve
them, with a paired test; if it does not win beyond chance it is refused. With several ranks, all are trained on the same rows
and offered, and what the system has room for is chosen later. Teachers' answers as training data, clusters of failures and rank
truncation are left out. Nothing heavy is imported before `build` runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cogumi_core import (
    Benchmark,
    Engine,
    InputError,
    MissingDependency,
    ModelRef,
    ModifierReport,
    OpenOptions,
    RunContext,
    Services,
    Session,
    Task,
)
from cogumi_modifiers.domains.outcomes import Outcomes, Tasks
from cogumi_modifiers.domains.probe import Configuration, ask, example_turns
from cogumi_modifiers.domains.report import Candidate, Findings, make_report, write_offers

if TYPE_CHECKING:
    from cogumi_modifiers.domains.adapter_training import TrainedAdapter
    from cogumi_modifiers.domains.settings import DomainSettings

EXAMPLES: Final = 2
SPLITS: Final = ("mine", "train", "validate")


class DomainModifier:
    """A modifier for the domain of the benchmark that `settings` name."""

    def __init__(self, settings: DomainSettings, services: Services) -> None:
        self._settings = settings
        self._services = services
        self._benchmark: Benchmark = services.make(settings.benchmark)
        self.domain = self._benchmark.domain

    def build(self, base: ModelRef, output: Path, run: RunContext) -> ModifierReport:
        """Writes a folder for each rank, also when its adapter is refused. Raises InputError: the base is no GGUF file, or the
        benchmark has too little to train or validate on; MissingDependency: no engine."""
        from cogumi_modifiers.domains.adapter_training import train_adapter

        if base.format != "gguf":
            message = (
                f"the modifier of '{self.domain}' needs the GGUF file that will be served, not a model in '{base.format}' form"
            )
            raise InputError(message)
        tasks, probed, baselines = self._probe(base, run)
        training = tuple(self._training_tasks(tasks, probed))
        run.log(f"{self.domain}: training on {len(training)} tasks, {len(tasks.train)} of them never asked before")
        trained = [
            train_adapter(base, training, self._settings, rank=rank, domain=self.domain, run=run)
            for rank in self._settings.lora_r
        ]
        candidates = self._validate(base, tasks, trained, run)
        findings = Findings(self.domain, tasks, training, probed, baselines, candidates)
        write_offers(findings, output)
        return make_report(findings, alpha=self._settings.alpha)

    # --- the phases ---

    def _probe(self, base: ModelRef, run: RunContext) -> tuple[Tasks, Outcomes, tuple[Outcomes, ...]]:
        """The base's answers on the mined tasks and, as the first of the baselines, on the held-out ones."""
        with closing(self._open(base, {})) as session:
            tasks = self._fitting_tasks(session, run)
            configurations = self._configurations(tasks)
            probed = self._ask(session, tasks.mine, configurations[0], run)
            baselines = [self._ask(session, tasks.validate, configuration, run) for configuration in configurations]
        return tasks, probed, tuple(baselines)

    def _training_tasks(self, tasks: Tasks, probed: Outcomes) -> Iterator[Task]:
        """References of the training split and the mined failures, and some of what the base can do already, lest it forget."""
        yield from (task for task in tasks.train if task.reference)
        mined = [task for task in tasks.mine if task.reference]
        yield from (task for task in mined if not probed.grades[task.id].correct)
        known = [task for task in mined if probed.grades[task.id].correct]
        yield from known[: round(self._settings.replay * len(known))]

    def _validate(
        self, base: ModelRef, tasks: Tasks, trained: Sequence[TrainedAdapter], run: RunContext
    ) -> tuple[Candidate, ...]:
        """Each adapter's answers on the held-out tasks."""
        suffix = " + grammar" if tasks.constrained else ""
        candidates = []
        with closing(self._open(base, {f"rank {adapter.rank}": adapter.path for adapter in trained})) as session:
            for adapter in trained:
                name = "adapter" if len(trained) == 1 else f"adapter of rank {adapter.rank}"
                configuration = Configuration(f"{name}{suffix}", adapter=f"rank {adapter.rank}")
                candidates.append(Candidate(adapter, self._ask(session, tasks.validate, configuration, run)))
        return tuple(candidates)

    # --- inside ---

    def _open(self, base: ModelRef, adapters: Mapping[str, Path]) -> Session:
        settings = self._settings
        if settings.engine is None:
            message = (
                f"the modifier of '{self.domain}' measures with the engine that will serve, and there is none here; "
                "install one, such as: pip install 'cogumi-serve[llama]'"
            )
            raise MissingDependency(message)
        engine: Engine = self._services.make(settings.engine)
        # Two examples are two more prompts and answers.
        prompts = 1 + EXAMPLES if "examples" in settings.baselines else 1
        context = prompts * (settings.max_prompt_tokens + settings.max_tokens)
        return engine.open(base.path, OpenOptions(adapters=adapters, context_tokens=context, parallel=settings.parallel))

    def _fitting_tasks(self, session: Session, run: RunContext) -> Tasks:
        """The tasks of all splits that are short enough. Raises InputError where nothing is left to train or validate on."""
        limit = self._settings.max_prompt_tokens
        splits = {split: tuple(self._benchmark.tasks(split, run)) for split in SPLITS}
        fitting = {
            split: tuple(task for task in tasks if session.count_prompt_tokens(task.messages) <= limit)
            for split, tasks in splits.items()
        }
        dropped = sum(map(len, splits.values())) - sum(map(len, fitting.values()))
        left_out = f" ({dropped} tasks were left out, with prompts over {limit} tokens)" if dropped else ""
        if not fitting["validate"]:
            message = f"the benchmark of '{self.domain}' has no task to validate on{left_out}; give the split 'validate' some"
            raise InputError(message)
        if not any(task.reference for task in (*fitting["train"], *fitting["mine"])):
            message = f"the benchmark of '{self.domain}' has no task with a reference answer to train on{left_out}"
            raise InputError(message)
        return Tasks(**fitting, dropped=dropped)

    def _configurations(self, tasks: Tasks) -> list[Configuration]:
        """The untrained ones to beat. The first is how the base is served: under a grammar wherever a task has a schema."""
        suffix = " + grammar" if tasks.constrained else ""
        found = [Configuration(f"base{suffix}")]
        if tasks.constrained and "plain" in self._settings.baselines:
            found.append(Configuration("base", grammar=False))
        solved = [task for task in tasks.train if task.reference][:EXAMPLES]
        if "examples" in self._settings.baselines and solved:
            found.append(Configuration(f"base + {len(solved)} examples{suffix}", examples=example_turns(solved)))
        return found

    def _ask(self, session: Session, tasks: Sequence[Task], configuration: Configuration, run: RunContext) -> Outcomes:
        answers = ask(session, tasks, configuration, max_tokens=self._settings.max_tokens, run=run)
        grades = {task.id: self._benchmark.grade(task, answers[task.id].text, run) for task in tasks}
        return Outcomes(configuration, answers, grades)
