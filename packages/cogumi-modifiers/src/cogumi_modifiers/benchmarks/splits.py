"""Disjoint splits of graded tasks, by group, and a count of what still looks alike across them.

A group (for function calls: the name of the function) never straddles two splits, so that what is measured is not what was
trained. The order of groups follows from a hash of seed and name: the same on every platform, whatever the order of the
input, and nearly unchanged when tasks are added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cogumi_core import InputError, Task

SPLITS: Final = ("validate", "train", "mine")
"""In the order in which they are filled: the split that decides must not change when another one is resized."""
NEAR: Final = 0.4  # in BFCL, above it lie the questions that differ in their values only
SHINGLE: Final = 5


def split_by_group(tasks: Iterable[Task], counts: Mapping[str, int], seed: int) -> dict[str, tuple[Task, ...]]:
    """Exactly `counts[split]` tasks for each split, whole groups apart; what is over is in none. Raises InputError."""
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.group, []).append(task)
    waiting = sorted(groups, key=lambda group: _rank(seed, group))
    splits: dict[str, tuple[Task, ...]] = {}
    for split in SPLITS:
        chosen: list[Task] = []
        while waiting and len(chosen) < counts[split]:
            chosen += sorted(groups[waiting.pop(0)], key=lambda task: _rank(seed, task.id))
        splits[split] = tuple(chosen[: counts[split]])
    _check(splits, counts, sum(map(len, groups.values())))
    return splits


def of_split(splits: Mapping[str, Sequence[Task]], split: str) -> Sequence[Task]:
    """The tasks of one split. Raises InputError."""
    if split not in splits:
        message = f"no split '{split}'; the splits are {', '.join(sorted(splits))}"
        raise InputError(message)
    return splits[split]


def _rank(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{text}".encode()).digest()


def _check(splits: Mapping[str, Sequence[Task]], counts: Mapping[str, int], available: int) -> None:
    for split, tasks in splits.items():
        if len(tasks) < counts[split]:
            asked = ", ".join(f"{name} {counts[name]}" for name in SPLITS)
            message = (
                f"the benchmark has {available} tasks, too few for the splits asked for ({asked}; tasks of one group stay "
                "together); ask for smaller splits"
            )
            raise InputError(message)


def near_duplicates(training: Iterable[Task], held_out: Iterable[Task], threshold: float = NEAR) -> frozenset[str]:
    """Ids of held-out tasks whose question resembles one trained on: Jaccard similarity of character 5-grams of the last
    turn, from 0 to 1, at least `threshold`. They are reported apart, not removed."""
    seen = [_shingles(task) for task in training]
    return frozenset(task.id for task in held_out if any(_alike(_shingles(task), other) >= threshold for other in seen))


def _shingles(task: Task) -> frozenset[str]:
    text = " ".join(task.messages[-1].content.casefold().split())
    return frozenset(text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1)))


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
