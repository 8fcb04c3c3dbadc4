"""Fresh environments with our wheels and exactly the third-party packages they declare, the repository off the path.

Installing torch once more for each environment would take gigabytes and minutes. Instead, every distribution in the closure
of a package's *declared* requirements is linked from the environment that runs the tests: an undeclared import still fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from processes import finished

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own."""

    root: Path

    @property
    def site(self) -> Path:
        return next((self.root / "lib").glob("python*/site-packages"))

    def run(self, *command: str, cwd: Path, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment; nothing of the caller's Python settings reaches it."""
        kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")}
        kept |= {"COGUMI_STORE": str(cwd / "store"), "HF_HUB_OFFLINE": "1", **(environ or {})}
        program = str(self.root / "bin" / command[0])
        return finished(program, *command[1:], cwd=cwd, env=kept)

    def python(self, code: str, cwd: Path) -> str:
        """Standard output of a piece of Python; fails with its errors."""
        done = self.run("python", "-I", "-c", code, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(self, wheels: Iterable[Path]) -> None:
        """Installs wheels, and links what they require from outside the project."""
        pip = [sys.executable, "-m", "pip", "--python", self.root / "bin" / "python", "install", "-q"]
        done = finished(*pip, "--no-index", "--no-deps", "--no-warn-script-location", *wheels)
        assert done.returncode == 0, done.stdout + done.stderr

    def link(self, names: Iterable[str]) -> None:
        """Makes installed distributions importable here, with their metadata."""
        for name in names:
            for top in _top_level(name):
                target = self.site / top.name
                if not target.exists():
                    target.symlink_to(top)


def build_wheels(packages: Iterable[Path], target: Path) -> dict[str, Path]:
    """Name of each distribution -> its wheel."""
    for package in packages:
        done = finished(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, package)
        assert done.returncode == 0, done.stdout + done.stderr
    return {canonicalize_name(path.name.split("-")[0]): path for path in sorted(target.glob("*.whl"))}


def make_environment(root: Path, wheels: dict[str, Path], *requirements: str, data: Iterable[str] = ()) -> Environment:
    """An environment with our packages of `requirements` (and ours that they need) from wheels; `data`: distributions of
    which only the files are used."""
    venv.create(root, with_pip=False, symlinks=True)
    environment = Environment(root)
    needed = closure(requirements)
    environment.install(wheels[name] for name in sorted(needed) if name in wheels)
    environment.link(sorted(needed - wheels.keys()))
    environment.link(data)
    return environment


def closure(requirements: Iterable[str]) -> set[str]:
    """Canonical names of everything that `requirements` need, by declared metadata."""
    found: dict[str, set[str]] = {}
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = {"", *requirement.extras}
        if name in found and extras <= found[name]:
            continue
        found[name] = found.get(name, set()) | extras
        waiting += list(_requirements(name, found[name]))
    return set(found)


def _requirements(name: str, extras: set[str]) -> Iterable[Requirement]:
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def _top_level(name: str) -> set[Path]:
    """The files and folders of a distribution directly below site-packages."""
    distribution = metadata.distribution(name)
    base = Path(str(distribution.locate_file("")))
    tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
    return {base / top for top in tops if not top.endswith(".pth")}
