"""A full disk, a read-only folder, a file in place of a folder: a clear error, and nothing half-written."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest

from cogumi_core.api.errors import StoreError
from cogumi_core.api.interfaces import Teacher
from cogumi_core.api.types import Completion, CompletionRequest, Message, Price, Sampling, Usage
from cogumi_core.calls import Database, open_calls
from cogumi_core.store.artifacts import Manifest
from cogumi_core.store.atomic import is_disk_full
from cogumi_core.store.collection import collect
from cogumi_core.store.fingerprint import fingerprint
from cogumi_core.store.store import Store

INPUTS = {"stage": "filter", "component": "length", "seed": 1}
KEY = fingerprint(INPUTS)
MANIFEST = Manifest("dataset", "filter", "length", "cogumi-core", KEY, INPUTS)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small disk needs root: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def make_read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


def fill(path: Path) -> None:
    """Writes until nothing is free."""
    with path.open("wb", buffering=0) as out, suppress(OSError):
        while True:
            out.write(b"x" * 4096)


def build_with(store: Store, body: object) -> None:
    with store.building(KEY) as building:
        (building.scratch / "checkpoint").write_text("half")
        body(building)  # type: ignore[operator]


def test_a_disk_that_fills_while_building_is_said_and_leaves_only_the_scratch(disk: Path) -> None:
    store = Store(disk / "store")
    with pytest.raises(StoreError, match=r"no space left on the disk .* same command then goes on"):
        build_with(store, lambda building: (building.output / "big").write_bytes(b"x" * 2_000_000))
    assert store.find(KEY) is None
    assert not (store.root / "building" / KEY / "output").exists()
    assert (store.root / "building" / KEY / "scratch" / "checkpoint").read_text() == "half"


def test_a_full_disk_is_recognised_behind_a_librarys_own_error(disk: Path) -> None:
    def body(building: object) -> None:
        fill(disk / "ballast")
        message = "SafetensorError: write failed"
        raise RuntimeError(message)

    with pytest.raises(StoreError, match="no space left"):
        build_with(Store(disk / "store"), body)


def test_a_disk_that_fills_at_the_commit_leaves_no_artifact(disk: Path) -> None:
    store = Store(disk / "store")

    def body(building: object) -> None:
        (building.output / "data").write_text("x")  # type: ignore[attr-defined]
        fill(disk / "ballast")
        building.commit(MANIFEST)  # type: ignore[attr-defined]

    with pytest.raises(StoreError, match="no space left"):
        build_with(store, body)
    assert store.find(KEY) is None
    (disk / "ballast").unlink()
    build_with(store, lambda building: building.commit(MANIFEST))
    assert store.find(KEY, check=True) is not None


def test_a_pin_on_a_full_disk_keeps_the_old_one(disk: Path) -> None:
    store = Store(disk / "store")
    store.pin("recipe.yaml", [KEY])
    fill(disk / "ballast")
    with pytest.raises(StoreError, match="no space left"):
        store.pin("recipe.yaml", [KEY, "other" * 2000])
    assert list(store.roots.read()) == [("recipe.yaml", frozenset([KEY]))]


def test_a_read_only_store_gives_its_artifacts_and_refuses_new_ones(disk: Path) -> None:
    store = Store(disk / "store")
    build_with(store, lambda building: building.commit(MANIFEST))
    make_read_only(disk)
    assert store.find(KEY, check=True) is not None
    for change in (lambda: build_with(store, print), lambda: store.pin("r", [KEY]), lambda: collect(store)):
        with pytest.raises(StoreError, match=r"read-only file system; choose another folder with --store DIR"):
            change()


def test_a_store_on_a_read_only_disk_cannot_be_made(disk: Path) -> None:
    make_read_only(disk)
    with pytest.raises(StoreError, match="read-only file system"):
        build_with(Store(disk / "store"), print)
    with pytest.raises(StoreError, match="read-only file system"):
        Database(disk / "new" / "calls.sqlite")


def test_a_file_in_place_of_the_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StoreError, match=r"store.*a file stands where a folder is needed"):
        build_with(Store(tmp_path / "store"), print)
    assert Store(tmp_path / "store").find(KEY) is None


# --- the call cache -------------------------------------------------------------------------------------------------------


class LongWinded:
    """Answers with 20 kB each."""

    identity: ClassVar = {"provider": "long-winded"}
    price: Price | None = None
    sampling = Sampling()
    concurrency = 1
    needs_reference = False

    def __init__(self) -> None:
        self.asked = 0

    async def complete(self, request: CompletionRequest) -> Completion:
        self.asked += 1
        return Completion("x" * 20_000, Usage(1, 1), "stop", "m")


def ask(path: Path, teacher: Teacher, count: int) -> int:
    requests = (CompletionRequest((Message("user", f"q{number}"),)) for number in range(count))
    with open_calls(path, root="r.yaml", recipe="r") as calls:
        return sum(1 for _ in calls.stage("s").ask(teacher, requests))


def test_a_disk_that_fills_during_calls_ends_the_run_and_keeps_the_answers(disk: Path) -> None:
    path, first, second = disk / "calls.sqlite", LongWinded(), LongWinded()
    (disk / "ballast").write_bytes(b"x" * 400_000)
    with pytest.raises(StoreError, match="disk is full; free some space"):
        ask(path, first, 100)
    (disk / "ballast").unlink()
    assert ask(path, second, first.asked - 1) == first.asked - 1
    assert second.asked == 0


def test_a_read_only_call_cache_is_said_before_anything_is_asked(disk: Path) -> None:
    path, teacher = disk / "calls.sqlite", LongWinded()
    ask(path, teacher, 1)
    make_read_only(disk)
    with pytest.raises(StoreError, match=r"cannot be used: .*read-only|cannot be used: unable to open"):
        ask(path, teacher, 2)
    assert teacher.asked == 1


def test_a_full_disk_is_found_behind_other_errors_and_in_rings_of_them(tmp_path: Path) -> None:
    outer, inner = ValueError("outer"), KeyError("inner")
    outer.__cause__, inner.__cause__ = inner, outer
    assert not is_disk_full(outer, tmp_path)
    inner.__cause__ = inner
    assert not is_disk_full(outer, tmp_path)
    inner.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_disk_full(outer, tmp_path)
