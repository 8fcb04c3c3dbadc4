"""Which checkpoint a killed training goes on from.

A kill can arrive while a checkpoint is being written, so one counts only when its last file, the mark, is there. Deleting
old ones is the trainer's; at least one complete checkpoint exists from the first save on.
"""

from __future__ import annotations

from pathlib import Path

MARK = "complete"


def mark_complete(checkpoint: Path) -> None:
    """Call when every other file of `checkpoint` is written."""
    (checkpoint / MARK).touch()


def newest_checkpoint(folder: Path) -> Path | None:
    """The complete checkpoint with the most steps below `folder` (`checkpoint-<step>`), None if there is none."""
    complete = [mark.parent for mark in folder.glob(f"checkpoint-*/{MARK}")]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
