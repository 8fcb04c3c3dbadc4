"""Throw-away distributions: a folder that Python takes for an installed package, entry points included.

What pip would install is a module and a `.dist-info` folder; writing the two by hand takes milliseconds. Put the folder on the
path of a new process (`PYTHONPATH`) and the plugin is installed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_distribution"]


def write_distribution(
    folder: Path,
    name: str,
    modules: Mapping[str, str],
    *,
    version: str = "1.0",
    entry_points: Mapping[str, str] | None = None,
    extras: tuple[str, ...] = (),
) -> Path:
    """Writes `modules` (name to source text) and the metadata of the distribution `name` into `folder`, and returns it.

    `entry_points` (of the group `cogumi`) maps a name to a module; by default the name of the distribution to its first
    module."""
    folder.mkdir(parents=True, exist_ok=True)
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Provides-Extra: {extra}" for extra in extras)]
    (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    points = {name: next(iter(modules))} if entry_points is None else entry_points
    text = "".join(f"{point} = {value}\n" for point, value in points.items())
    (info / "entry_points.txt").write_text(f"[cogumi]\n{text}", encoding="utf-8")
    return folder
