"""Teachers answer prompts: the stage that may cost money.

Each prompt goes to one teacher, by share. Assignment is by deficit (the teacher furthest below its share takes the next
prompt it can answer), which is exact, streams, and depends on nothing but the order of prompts. Answers come through the
dispatcher, so each is paid for once, ever; what a killed run had answered is answered from the cache.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from cogumi_core.api.errors import InputError, TeacherError, TransientTeacherError
from cogumi_core.api.interfaces import Teacher
from cogumi_core.api.types import JSON, Completion, CompletionRequest, Example, Prompt
from cogumi_core.formats.dataset import DROPPED, KEPT, count_reasons, dropped_row
from cogumi_core.formats.rows import example_row, prompt_from_row, prompt_row, read_rows, write_rows
from cogumi_core.stages.base import Built, Stage, Work, declared
from cogumi_core.stages.data.prompts import PROMPTS

Answer = Completion | TeacherError


class DistillStage(Stage):
    """Prompts in, examples out. A prompt that no teacher answered is dropped with the teacher's reason."""

    def build(self, work: Work) -> Built:
        path = work.inputs["prompts"].path / PROMPTS
        teachers = [work.make(step) for step in self.steps]
        shares = [step.share or 1 / len(self.steps) for step in self.steps]
        total = sum(1 for _ in read_rows(path))
        dropped: list[dict[str, JSON]] = []
        taught = [0] * len(teachers)
        with closing(self._answers(work, path, teachers, shares, total)) as answers:
            rows = _examples(answers, [step.component.name for step in self.steps], taught, dropped)
            kept = write_rows(work.output / KEPT, rows)
        write_rows(work.output / DROPPED, dropped)
        if not kept:
            message = f"none of the {total} prompts was answered: {count_reasons(dropped)}"
            raise InputError(message)
        names = {step.component.name: count for step, count in zip(self.steps, taught, strict=True)}
        metrics = {"rows": total, "kept": kept, "dropped": count_reasons(dropped), "teachers": names}
        spent = work.dispatcher.totals(self.name)
        metrics |= {"prompt_tokens": spent.prompt_tokens, "completion_tokens": spent.completion_tokens, "usd": spent.usd}
        deterministic, why_not = declared(self.steps)
        summary = ", ".join(f"{count} by {name}" for name, count in names.items())
        return Built(f"{kept} answers ({summary})", metrics, deterministic=deterministic, why_not=why_not)

    def _answers(
        self, work: Work, path: Path, teachers: Sequence[Teacher], shares: Sequence[float], prompts: int
    ) -> Generator[tuple[Prompt, int, Answer], None, None]:
        """(prompt, index of its teacher, answer) in the order of the prompts."""
        answered = 0  # counts across teachers, so that the bar shows the whole stage and not one teacher's part
        streams: list[Generator[tuple[str, Answer], None, None]] = []

        def waiting(done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
            work.run.progress(answered, prompts, "answers", **figures)

        for index, teacher in enumerate(teachers):
            asked = _requests(path, teachers, shares, index)
            streams.append(work.dispatcher.run(teacher, asked, stage=self.name, progress=waiting))
        with ExitStack() as closing_all:
            for stream in streams:
                closing_all.enter_context(closing(stream))  # waits for calls that were sent, whatever ends the stage
            for prompt, index in assign(path, teachers, shares):
                _, answer = next(streams[index])
                answered += 1
                work.run.progress(answered, prompts, "answers")
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


def _requests(
    path: Path, teachers: Sequence[Teacher], shares: Sequence[float], index: int
) -> Iterator[tuple[str, CompletionRequest]]:
    """What teacher `index` is asked."""
    teacher = teachers[index]
    for prompt, own in assign(path, teachers, shares):
        if own == index:
            reference = prompt.reference if teacher.needs_reference else None
            yield prompt.id, CompletionRequest(prompt.messages, teacher.sampling, reference=reference)


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
            continue
        if not answer.text.strip():
            evidence = f"'{names[index]}' ended after {answer.usage.completion_tokens} tokens without a word"
            dropped.append(dropped_row("distill", "empty answer", evidence, prompt_row(prompt)))
            continue
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
    return Example(prompt.id, _instruction(prompt), answer.text.strip(), metadata)


def _instruction(prompt: Prompt) -> str:
    """The standard form has one instruction: the turns of a longer conversation follow each other, each with its role."""
    if len(prompt.messages) == 1:
        return prompt.messages[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in prompt.messages)
