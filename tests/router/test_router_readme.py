"""The README's Python lines run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

from processes import python

README = Path(__file__).parents[2] / "packages" / "cogumi-router" / "README.md"


def test_the_readmes_lines_escalate_an_unsure_answer() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("booking 0.")
