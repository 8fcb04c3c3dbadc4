"""Finds the files that recipes and settings name.

`package:distribution/path` is a file inside an installed distribution, found through its metadata so that the package itself is
never imported (some import half the world). Everything else is a path, relative to the recipe's folder.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from cogumi_core.api.errors import InputError

PREFIX = "package:"


def locate(text: str, base_dir: Path = Path()) -> Path:
    """The existing file or folder `text` names. Raises InputError, saying what to do."""
    path = _in_package(text) if text.startswith(PREFIX) else base_dir / Path(text).expanduser()
    if not path.exists():
        message = f"no such file or folder: {text} (looked at {path})"
        raise InputError(message)
    return path


def _in_package(text: str) -> Path:
    distribution, _, inside = text.removeprefix(PREFIX).partition("/")
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError as exc:
        name = distribution.replace("_", "-")
        message = f"{text}: the package '{name}' is not installed; try: python -m cogumi_core.formats.data_packages {name}"
        raise InputError(message) from exc
    # A distribution may ship the file below a top-level package of another name, so the path may start at site-packages or
    # at a folder named like the distribution.
    direct = Path(str(found.locate_file(inside)))
    return direct if direct.exists() else Path(str(found.locate_file(f"{distribution}/{inside}")))
