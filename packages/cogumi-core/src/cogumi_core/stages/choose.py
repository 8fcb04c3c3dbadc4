"""Which adapters the system carries: of each modifier at most one, all together within the system's bytes.

A modifier may offer several adapters, large and good or small and less so. Of all combinations that fit, the one is taken that
solves most beyond what the base does without them (the sum of gains on the held-out tasks, each domain counting alike); of
equals the smallest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, Final

from cogumi_core.api.types import JSON
from cogumi_core.formats.json_files import read_object
from cogumi_core.stages.base import Built, Stage, Work
from cogumi_core.store.artifacts import Artifact

CHOICE: Final = "choice.json"
MOST_COMBINATIONS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Option:
    """An accepted adapter of one modifier, or none of them."""

    folder: str | None
    bytes: int
    gain: float


@dataclass(frozen=True, kw_only=True)
class ChooseStage(Stage):
    """`limit` in bytes, None for no limit; `names` of the modifiers in the order of `adapters[0]`, `adapters[1]`, ..."""

    id: ClassVar[str] = "choose"
    artifact: ClassVar[str] = "choice"

    limit: int | None
    names: tuple[str, ...]

    def extra_key(self) -> Mapping[str, JSON]:
        return {"limit": self.limit, "names": list(self.names)}

    def build(self, work: Work) -> Built:
        offers = [list(options(work.inputs[f"adapters[{index}]"])) for index in range(len(self.names))]
        room = None if self.limit is None else self.limit - _base_bytes(work)
        chosen = choose(offers, room)
        rows = [{"modifier": name, "folder": option.folder} for name, option in zip(self.names, chosen, strict=True)]
        (work.output / CHOICE).write_text(json.dumps({"adapters": rows}, indent=1) + "\n", encoding="utf-8")
        left = [
            name
            for name, option, own in zip(self.names, chosen, offers, strict=True)
            if option.folder is None and any(other.folder for other in own)
        ]
        if left:
            work.run.log(f"left out for want of bytes: {', '.join(left)}; raise budget.bytes, or compress the base further")
        size = sum(option.bytes for option in chosen)
        taken = [name for name, option in zip(self.names, chosen, strict=True) if option.folder is not None]
        summary = f"{', '.join(taken) or 'no adapter'}; {size / 1e6:.1f} MB"
        return Built(summary, {"chosen": rows, "bytes": size, "left_out": left})


def options(modifier: Artifact) -> Iterator[Option]:
    """Nothing, and each accepted adapter of a modifier."""
    yield Option(None, 0, 0.0)
    report: Mapping[str, Any] = modifier.manifest.metrics
    for offer in report["offers"]:
        if offer["accepted"]:
            yield Option(offer["folder"], offer["bytes"], offer["result"]["share"] - report["baseline"]["share"])


def choose(offers: Sequence[Sequence[Option]], room: int | None) -> tuple[Option, ...]:
    """The best combination, one option of each modifier. With very many combinations, adapters are taken by gain for each
    byte."""
    count = 1
    for own in offers:
        count *= len(own)
    if room is None:
        return tuple(max(own, key=lambda option: (option.gain, -option.bytes)) for own in offers)
    if count > MOST_COMBINATIONS:
        return greedy(offers, room)
    fitting = (combination for combination in product(*offers) if sum(option.bytes for option in combination) <= room)
    empty = tuple(own[0] for own in offers)
    return max(fitting, key=_worth, default=empty)


def _worth(combination: Sequence[Option]) -> tuple[float, int]:
    return sum(option.gain for option in combination), -sum(option.bytes for option in combination)


def greedy(offers: Sequence[Sequence[Option]], room: int) -> tuple[Option, ...]:
    chosen = [own[0] for own in offers]
    ranked = [(option.gain / max(1, option.bytes), index, option) for index, own in enumerate(offers) for option in own[1:]]
    for _, index, option in sorted(ranked, key=lambda item: item[:2], reverse=True):
        if chosen[index].folder is None and option.bytes + sum(other.bytes for other in chosen) <= room:
            chosen[index] = option
    return tuple(chosen)


def _base_bytes(work: Work) -> int:
    """What the base weighs as it is carried elsewhere: packed where a stage packed it."""
    for role in ("packed", "base"):
        if role in work.inputs:
            return work.inputs[role].manifest.size
    student = work.run.services.student
    return 0 if student is None else student.path.stat().st_size


def chosen_folders(artifact: Artifact) -> list[tuple[str, str | None]]:
    """(modifier, folder of its adapter that the system carries or None), in the recipe's order."""
    return [(row["modifier"], row["folder"]) for row in read_object(artifact.path / CHOICE)["adapters"]]
