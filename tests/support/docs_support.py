"""Pages as they would be followed: their blocks written to files, their commands run.

A block is a file when its first line names one in a comment (`# my_filter.py`), or its fence does (```json rows.jsonl);
a block of `sh` is commands; a block of `text` behind it is what they print.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from processes import finished

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"# (\S+\.\w+)$")


@dataclass(frozen=True)
class Block:
    """`file` is what the block is to be saved as, None for commands and for what they print."""

    language: str
    file: str | None
    text: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found = []
    for language, file, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        named = _NAMED.match(text.splitlines()[0])
        found.append(Block(language, file or (named[1] if named else None), text))
    return found


@dataclass
class Tutorial:
    """A page followed in `folder`. `instead` maps the first words of a command to what stands in for it here (a download);
    `edit` changes the text of a file before it is written, by the file's name."""

    page: Path
    folder: Path
    instead: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    edit: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    printed: str = ""

    @property
    def site(self) -> Path:
        """Where `pip install` puts things, so that nothing is left in the environment of the tests."""
        return self.folder / ".site"

    def follow(self) -> None:
        """Fails at the first command that does, or that does not print what the page says."""
        for block in blocks(self.page):
            if block.file is not None:
                text = self.edit.get(block.file, str)(block.text)
                (self.folder / block.file).write_text(text, encoding="utf-8")
            elif block.language == "sh":
                self.printed = "".join(self._run(line) for line in block.text.splitlines() if line.strip())
            elif block.language == "text":
                self._compare(block.text)
            else:
                raise AssertionError(f"{self.page.name}: a block of {block.language} that is no file and no command")

    def _run(self, line: str) -> str:
        for start, substitute in self.instead.items():
            if line.startswith(start):
                return str(substitute())
        command = self._command(shlex.split(line, comments=True))
        done = finished(*command, cwd=self.folder, env=self._environ())
        assert done.returncode == 0, f"{self.page.name}: {line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _command(self, words: list[str]) -> list[str]:
        if words == ["pip", "install", "-e", "."]:
            offline = ["--no-index", "--no-deps", "--no-build-isolation", "--no-warn-script-location"]
            return [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", str(self.site), "."]
        if words[0] == "pytest":
            return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words[1:]]
        assert words[0] == "cogumi", f"{self.page.name}: '{words[0]}' is no command that a tutorial may use"
        return [str(Path(sys.executable).parent / "cogumi"), *words[1:]]

    def _environ(self) -> dict[str, str]:
        store = str(self.folder / "store")
        return {**os.environ, "PYTHONPATH": f"{self.site}{os.pathsep}{self.folder}", "COGUMI_STORE": store, "COLUMNS": "200"}

    def _compare(self, expected: str) -> None:
        printed = [" ".join(line.split()) for line in self.printed.splitlines()]
        for line in expected.splitlines():
            wanted = " ".join(line.split())
            assert any(wanted in shown for shown in printed), f"{self.page.name}: '{wanted}' was not printed:\n{self.printed}"
