"""Where data starts: prompts from sources, or rows a person already has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from cogumi_core.api.errors import InputError
from cogumi_core.api.interfaces import Source
from cogumi_core.api.locate import locate
from cogumi_core.api.types import JSON, Prompt
from cogumi_core.formats.dataset import DROPPED, KEPT
from cogumi_core.formats.rows import dump_line, example_from_row, example_row, prompt_row, read_rows, write_rows
from cogumi_core.stages.base import Built, Stage, Work
from cogumi_core.store.fingerprint import sha256_text

PROMPTS = "prompts.jsonl"


class PromptsStage(Stage):
    """All sources, one after the other, into `prompts.jsonl`. Ids must be unique across sources."""

    id: ClassVar[str] = "sources"
    artifact: ClassVar[str] = "prompts"

    def build(self, work: Work) -> Built:
        domains: Counter[str] = Counter()
        seen: set[str] = set()
        sources = [work.make(step, Source).prompts(work.run) for step in self.steps]
        rows = _counted(chain.from_iterable(sources), domains, seen, work)
        count = write_rows(work.output / PROMPTS, rows)
        if not count:
            message = "the sources gave no prompts: the data set is empty"
            raise InputError(message)
        return Built(f"{count} prompts in {len(domains)} domains", {"rows": count, "domains": dict(sorted(domains.items()))})


def _counted(prompts: Iterator[Prompt], domains: Counter[str], seen: set[str], work: Work) -> Iterator[dict[str, JSON]]:
    for done, prompt in enumerate(prompts, start=1):
        if prompt.id in seen:
            message = f"source '{prompt.source}': the id '{prompt.id}' occurs twice; ids must be unique across all sources"
            raise InputError(message)
        seen.add(prompt.id)
        domains[prompt.domain] += 1
        work.run.progress(done, None, "prompts")
        yield prompt_row(prompt)


@dataclass(frozen=True, kw_only=True)
class DatasetStage(Stage):
    """`dataset: PATH`: rows in the standard form, checked, with an id for each. A row without one gets a digest of its text.

    Only the content of `location` is part of the fingerprint."""

    id: ClassVar[str] = "dataset"

    location: str

    def build(self, work: Work) -> Built:
        path = locate(self.location, work.run.services.base_dir)
        count = write_rows(work.output / KEPT, _standard_rows(path, work))
        if not count:
            message = f"{path}: the data set is empty"
            raise InputError(message)
        (work.output / DROPPED).touch()
        return Built(f"{count} rows", {"rows": count, "kept": count})


def _standard_rows(path: Path, work: Work) -> Iterator[dict[str, JSON]]:
    seen: dict[str, int] = {}
    for done, (number, row) in enumerate(read_rows(path), start=1):
        example = example_from_row(_with_id(row), f"{path}, line {number}")
        if example.id in seen:
            message = f"{path}, line {number}: the id '{example.id}' is already on line {seen[example.id]}; ids must be unique"
            raise InputError(message)
        seen[example.id] = number
        work.run.progress(done, None, "rows")
        yield example_row(example)


def _with_id(row: dict[str, Any]) -> dict[str, Any]:
    """A row without an id gets a digest of all that it says."""
    if row.get("id") is not None:
        return row
    said = {key: value for key, value in row.items() if key not in ("id", "metadata")}
    return {**row, "id": sha256_text(dump_line(said))[:16]}
