"""The file that a GGUF model is: finding it in what was handed in, and putting it where it belongs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from cogumi_core import InputError

MODEL: Final = "model.gguf"


def is_hugging_face(path: Path) -> bool:
    """Whether a model's path is a Hugging Face directory."""
    return path.is_dir() and (path / "config.json").is_file()


def gguf_file(path: Path) -> Path:
    """The GGUF file that a model's path means: itself, or `model.gguf` in a folder. Raises InputError."""
    if not path.is_dir():
        return path
    if (path / MODEL).is_file():
        return path / MODEL
    message = f"{path}: a folder with neither config.json nor {MODEL}; give a GGUF file or a Hugging Face directory"
    raise InputError(message)


def publish(written: Path, target: Path) -> None:
    """Moves a finished file into the output; it is there whole or not at all, also across file systems."""
    try:
        written.replace(target)
    except OSError:
        temporary = target.with_name(f".{target.name}.part")
        try:
            shutil.copyfile(written, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        written.unlink()
