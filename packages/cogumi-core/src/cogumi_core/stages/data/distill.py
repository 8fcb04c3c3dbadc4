"""Teachers answer prompts: the stage that mostly costs money.

Each prompt goes to one teacher, by share. Assignment is by deficit (the teacher furthest below its share takes the next
prompt it can answer), which is exact, streams, and depends on nothing but the order of prompts. Answers come through
`run.calls`, so each is paid for once, ever; what a killed run had answered is answered from the cache.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, ClassVar

from cogumi_core.api.errors import InputError, TeacherError, TransientTeacherError
from cogumi_core.api.interfaces import Answer, Teacher
from cogumi_core.api.types import JSON, Completion, CompletionRequest, Example, Message, Prompt
from cogumi_core.formats.dataset import DROPPED, KEPT, count_reasons, dropped_row
from cogumi_core.formats.rows import example_row, prompt_from_row, prompt_row, read_rows, write_rows
from cogumi_core.stages.base import Built, Stage, Work, declared
from cogumi_core.stages.data.prompts import PROMPTS


class DistillStage(Stage):
    """Prompts in, examples out. A prompt that no teacher answered is dropped with the teacher's reason."""

    id: ClassVar[str] = "distill"

    def build(self, work: Work) -> Built:
        path = work.inputs["prompts"].path / PROMPTS
        teachers = [work.make(step, Teacher) for step in self.steps]
        names = [step.component.name for step in self.steps]
        total = sum(1 for _ in read_rows(path))
        dropped: list[dict[str, JSON]] = []
        taught = [0] * len(teachers)
        with closing(self._answers(work, path, teachers, total)) as answers:
            kept = write_rows(work.output / KEPT, _examples(answers, names, taught, dropped))
        write_rows(work.output / DROPPED, dropped)
        if not kept:
            message = f"none of the {total} prompts was answered: {count_reasons(dropped)}"
            raise InputError(message)
        by_teacher: dict[str, int] = {}
        for name, count in zip(names, taught, strict=True):
            by_teacher[name] = by_teacher.get(name, 0) + count
        metrics = {"rows": total, "kept": kept, "dropped": count_reasons(dropped), "teachers": by_teacher}
        deterministic, why_not = declared(self.steps)
        summary = ", ".join(f"{count} by {name}" for name, count in by_teacher.items())
        return Built(f"{kept} answers ({summary})", metrics, deterministic=deterministic, why_not=why_not)

    def _answers(
        self, work: Work, path: Path, teachers: Sequence[Teacher], total: int
    ) -> Generator[tuple[Prompt, int, Answer], None, None]:
        """(prompt, index of its teacher, answer) in the order of the prompts. The teachers work beside each other."""
        shares = [step.share or 1 / len(self.steps) for step in self.steps]
        with ExitStack() as closing_all:
            streams = [
                closing_all.enter_context(closing(work.run.calls.ask(teacher, requests(path, teachers, shares, index))))
                for index, teacher in enumerate(teachers)
            ]
            for done, (prompt, index) in enumerate(assign(path, teachers, shares), start=1):
                answer = next(streams[index])
                work.run.progress(done, total, "answers")
                yield prompt, index, answer


def assign(path: Path, teachers: Sequence[Teacher], shares: Sequence[float]) -> Iterator[tuple[Prompt, int]]:
    """(prompt, index of the teacher that answers it), in the order of the prompts in the file."""
    return assign_each((prompt_from_row(row) for _, row in read_rows(path)), teachers, shares)


def assign_each(
    prompts: Iterable[Prompt], teachers: Sequence[Teacher], shares: Sequence[float]
) -> Iterator[tuple[Prompt, int]]:
    """(prompt, index of its teacher): each prompt goes to the teacher furthest below its share among those it suits."""
    given = [0] * len(teachers)
    for seen, prompt in enumerate(prompts, start=1):
        able = [i for i, teacher in enumerate(teachers) if prompt.reference is not None or not teacher.needs_reference]
        if not able:
            able = list(range(len(teachers)))  # the teacher's refusal becomes the reason why the row is dropped
        index = max(able, key=lambda i: (shares[i] * seen - given[i], -i))
        given[index] += 1
        yield prompt, index


def requests(path: Path, teachers: Sequence[Teacher], shares: Sequence[float], index: int) -> Iterator[CompletionRequest]:
    """What teacher `index` is asked."""
    for prompt, own in assign(path, teachers, shares):
        if own == index:
            yield request_for(prompt, teachers[index])


def request_for(prompt: Prompt, teacher: Teacher) -> CompletionRequest:
    """The prompt as this teacher is asked it."""
    reference = prompt.reference if teacher.needs_reference else None
    return CompletionRequest(prompt.messages, teacher.sampling, reference=reference, tools=prompt.tools)


def _examples(
    answers: Iterable[tuple[Prompt, int, Answer]], names: Sequence[str], taught: list[int], dropped: list[dict[str, JSON]]
) -> Iterator[dict[str, JSON]]:
    for prompt, index, answer in answers:
        if isinstance(answer, TransientTeacherError):
            # Not an answer about this prompt: to drop the row would make a passing fault permanent.
            message = f"'{names[index]}' did not answer '{prompt.id}' ({answer}); answers so far are kept, run again later"
            raise TeacherError(message)
        if isinstance(answer, TeacherError):
            dropped.append(dropped_row("distill", "not answered", str(answer), prompt_row(prompt)))
        elif not answer.text.strip() and not answer.tool_calls:
            evidence = f"'{names[index]}' ended after {answer.usage.completion_tokens} tokens without a word"
            dropped.append(dropped_row("distill", "empty answer", evidence, prompt_row(prompt)))
        else:
            taught[index] += 1
            yield example_row(_example(prompt, names[index], answer))


def _example(prompt: Prompt, teacher: str, answer: Completion) -> Example:
    metadata: dict[str, Any] = {
        "difficulty": "medium",
        **prompt.metadata,
        "domain": prompt.domain,
        "source": prompt.source,
        "licence": prompt.licence,
        "teacher": teacher,
        "model": answer.model,
        "tokens": answer.usage.completion_tokens,
        "finish_reason": answer.finish_reason,
    }
    return Example(prompt.id, (*prompt.messages, Message("assistant", answer.text, answer.tool_calls)), metadata, prompt.tools)
