"""The report on disk: written as one file, and read back from a system's `report.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cogumi_core.api.errors import InputError
from cogumi_core.report.document import ReportData, from_json
from cogumi_core.report.page import render
from cogumi_core.store.atomic import write_atomic

DATA_FILE: Final = "report.json"
PAGE_FILE: Final = "report.html"


def write_report(data: ReportData, path: Path) -> None:
    """Writes the page. Raises MissingDependency before anything is written, and OSError."""
    page = render(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, page)


def from_system(path: Path) -> ReportData:
    """The data that was kept beside the system, model or dataset at `path`, or in `path/system`. Raises InputError."""
    for folder in (path, path / "system", path / "report"):
        file = folder / DATA_FILE
        if file.is_file():
            return from_json(_text(file), str(file))
    message = f"{path}: no {DATA_FILE} here; name the folder `system` that `cogumi run RECIPE --out DIR` wrote"
    raise InputError(message)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        message = f"{path}: damaged, not a text file in UTF-8; run the recipe again to write it anew"
        raise InputError(message) from exc
