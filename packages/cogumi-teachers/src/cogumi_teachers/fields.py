"""Field types that settings of several kinds share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator


def _student_is_none(value: Any) -> Any:
    """The student's digest is known to the recipe, so `student` is no file name."""
    return None if value == "student" else value


FileOrStudent = Annotated[str | None, BeforeValidator(_student_is_none)]
"""A file, or the recipe's own student: `student`, or nothing."""
