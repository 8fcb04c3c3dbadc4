"""`cogumi why PATH ROW_ID`: what became of one input row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click


@click.command("why")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("row_id")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def command(path: Path, row_id: str, as_json: bool) -> None:
    """Tell whether row ROW_ID of the dataset in PATH was kept, or dropped where, by what, with the evidence.

    PATH is a folder with dataset.jsonl, or the folder that `cogumi run --out` wrote."""
    from cogumi_core.cli.output import print_json

    found = fate(_dataset_folder(path), row_id)
    if as_json:
        print_json(found)
        return
    for line in _lines(found):
        click.echo(line)


def fate(folder: Path, row_id: str) -> dict[str, Any]:
    """What became of the row. Raises InputError when no such row came in."""
    from cogumi_core.api.errors import InputError
    from cogumi_core.formats.dataset import DROPPED, KEPT
    from cogumi_core.formats.rows import read_rows
    from cogumi_core.plugins.near import did_you_mean

    ids: list[str] = []
    for name, outcome in ((KEPT, "kept"), (DROPPED, "dropped")):
        for _, row in read_rows(folder / name) if (folder / name).exists() else ():
            if row["id"] == row_id:
                return {"id": row_id, "outcome": outcome, **_detail(folder, row, outcome)}
            ids.append(row["id"])
    message = f"{folder}: no row '{row_id}' came in.{did_you_mean(row_id, ids)} {len(ids)} rows are known"
    raise InputError(message)


def _detail(folder: Path, row: dict[str, Any], outcome: str) -> dict[str, Any]:
    if outcome == "dropped":
        return {key: row[key] for key in ("stage", "reason", "evidence", "row")}
    return {"duplicates": list(_duplicates(folder, row["id"])), "row": row}


def _duplicates(folder: Path, row_id: str) -> Iterator[dict[str, Any]]:
    """The copies that went because this row stays."""
    from cogumi_core.formats.dataset import GROUPS
    from cogumi_core.formats.rows import read_rows

    if (folder / GROUPS).exists():
        for _, group in read_rows(folder / GROUPS):
            if group["survivor"] == row_id:
                yield from group["duplicates"]


def _dataset_folder(path: Path) -> Path:
    from cogumi_core.api.errors import InputError
    from cogumi_core.formats.dataset import KEPT

    for folder in (path, path / "dataset", path.parent / "dataset"):
        if (folder / KEPT).exists():
            return folder
    message = f"{path} holds no dataset: expected a folder with {KEPT}, or the folder that `cogumi run --out` wrote"
    raise InputError(message)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    if found["outcome"] == "dropped":
        yield f"{found['id']}: dropped by {found['stage']}: {found['reason']}"
        if found["evidence"]:
            yield f"  evidence: {found['evidence']}"
    else:
        yield f"{found['id']}: kept"
        for copy in found["duplicates"]:
            yield f"  stands for {copy['id']} too (Jaccard {copy['similarity']:.4f})"
    row = found["row"]
    text = row.get("instruction") or " ".join(message["content"] for message in row.get("messages", ()))
    yield f"  instruction: {_short(text)}"
    if "response" in row:
        yield f"  response: {_short(row['response'])}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:200]}…"
