"""Installation from a clone says what is missing before it starts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging_support import REPOSITORY

pytestmark = pytest.mark.packaging


def make(folder: Path, *arguments: str, programs: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`make` for a new environment in `folder`, with nothing on the path but `programs` and a shell."""
    path = folder / "bin"
    path.mkdir()
    for name, target in {"bash": shutil.which("bash") or "/bin/bash", **programs}.items():
        (path / name).symlink_to(target)
    command = [shutil.which("make") or "make", f"VENV={folder}/venv", *arguments, f"{folder}/venv/bin/python"]
    return subprocess.run(command, cwd=REPOSITORY, env={"PATH": str(path)}, capture_output=True, text=True)


def test_without_a_compiler_it_says_which_to_install(tmp_path: Path) -> None:
    done = make(tmp_path, programs={"python3": sys.executable})
    assert done.returncode != 0
    assert "no C++ compiler" in done.stdout
    assert "apt-get install g++" in done.stdout
    assert not (tmp_path / "venv").exists()


def test_an_old_python_is_refused_by_its_version(tmp_path: Path) -> None:
    old = tmp_path / "python3.10"
    old.write_text('#!/bin/bash\n[ "$1" = -V ] && echo "Python 3.10.1"\nexit 1\n')
    old.chmod(0o755)
    done = make(tmp_path, "PYTHON=python3.10", programs={"python3.10": str(old)})
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stdout
    assert "3.10.1" in done.stdout
