"""`kill -9` at every moment of a build, and several processes on one store."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from processes import python, running, wait_until

from cogumi_core.api.errors import StoreError
from cogumi_core.store.artifacts import verify
from cogumi_core.store.collection import collect, stored
from cogumi_core.store.store import Store

BUILD = """
import json, os, signal, sys, time
from pathlib import Path
from cogumi_core.store.artifacts import Manifest, verify
from cogumi_core.store.fingerprint import fingerprint
from cogumi_core.store.store import Store

INPUTS = {"stage": "filter", "component": "length", "seed": 1}
KEY = fingerprint(INPUTS)

def build(store, log, go=None):
    def waiting(seconds):
        Path(str(log) + ".waiting").touch()

    with store.building(KEY, waiting=waiting) as building:
        if building.hit is None:
            (building.scratch / "checkpoint").write_text("half")
            with open(log, "a") as lines:
                lines.write("resumed\\n" if building.resumed else "new\\n")
            while go is not None and not go.exists():
                time.sleep(0.01)
            for name in ("one", "two/three"):
                (building.output / name).parent.mkdir(exist_ok=True)
                (building.output / name).write_text(name)
            building.commit(Manifest("dataset", "filter", "length", "cogumi-core", KEY, INPUTS))
"""

KILL_EVERYWHERE = (
    BUILD
    + """
MOMENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.scandir", "os.listdir", "shutil.rmtree", "fcntl.flock"}
left = None

def count_down(event, args):
    global left
    if left is not None and event in MOMENTS:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count_down)
root, moment, digests, seen = Path(sys.argv[1]), 0, set(), set()
while True:
    store, log = Store(root / str(moment)), root / f"{moment}.log"
    child = os.fork()
    if child == 0:
        left = moment
        build(store, log)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    finished = store.find(KEY, check=True)
    assert finished is None or not verify(finished.path), moment
    had_checkpoint = (store.root / "building" / KEY / "scratch" / "checkpoint").exists()
    begun = len(log.read_text().split()) if log.exists() else 0
    build(store, log)
    builds = log.read_text().split()
    assert len(builds) == 1 or finished is None, (moment, builds)
    assert len(builds) < 2 or (builds[1] == "resumed") == had_checkpoint, (moment, builds)
    artifact = store.find(KEY, check=True)
    assert not verify(artifact.path), moment
    assert not list((store.root / "building").iterdir()), moment
    digests.add(artifact.digest)
    seen.add((finished is not None, begun, len(builds)))
    if os.WIFEXITED(status):
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    moment += 1
assert len(digests) == 1
print(json.dumps([moment, sorted(seen)]))
"""
)

WAIT_AND_BUILD = BUILD + "\nbuild(Store(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3]))\n"


class Builders:
    """Processes that build one artifact; each holds in the middle until `go` is there."""

    def __init__(self, folder: Path) -> None:
        self.root, self.log, self.go = folder / "store", folder / "log", folder / "go"

    def start(self) -> AbstractContextManager[subprocess.Popen[str]]:
        return running(sys.executable, "-c", WAIT_AND_BUILD, self.root, self.log, self.go, stdout=subprocess.PIPE)

    def begun(self) -> int:
        """How often a build was begun."""
        return len(self.log.read_text().split()) if self.log.exists() else 0

    def somebody_waits(self) -> bool:
        return Path(f"{self.log}.waiting").exists()


@pytest.fixture
def builders(tmp_path: Path) -> Builders:
    return Builders(tmp_path)


def test_a_kill_at_any_moment_leaves_the_whole_artifact_or_none(tmp_path: Path) -> None:
    done = python(KILL_EVERYWHERE, tmp_path)
    assert done.returncode == 0, done.stderr
    moments, seen = json.loads(done.stdout)
    assert moments > 20
    # (found after the kill, builds begun before it, builds in all): killed before the build, during it, between its
    # manifest and its renaming (nothing is done again), and after.
    assert {(False, 0, 1), (False, 1, 2), (False, 1, 1), (True, 1, 1)} == {tuple(item) for item in seen}


def test_processes_that_need_the_same_artifact_build_it_once(builders: Builders) -> None:
    with builders.start() as one, builders.start() as other, builders.start() as third:
        wait_until(builders.somebody_waits)
        builders.go.touch()
        assert [child.wait() for child in (one, other, third)] == [0, 0, 0]
    assert builders.log.read_text() == "new\n"


def test_the_lock_of_a_killed_process_is_free_and_its_scratch_is_used(builders: Builders) -> None:
    with builders.start() as victim:
        wait_until(lambda: builders.begun() == 1, victim)
        with builders.start() as heir:
            wait_until(builders.somebody_waits, heir)
            victim.send_signal(signal.SIGKILL)
            builders.go.touch()
            assert heir.wait() == 0
    assert builders.log.read_text() == "new\nresumed\n"


def test_a_store_killed_many_times_still_ends_in_a_whole_artifact(builders: Builders) -> None:
    for kill in range(1, 5):
        with builders.start() as child:
            wait_until(lambda kill=kill: builders.begun() == kill, child)  # type: ignore[misc]
            child.kill()
    builders.go.touch()
    with builders.start() as final:
        assert final.wait() == 0
    (item,) = stored(Store(builders.root))
    assert verify(item.artifact.path) == []


def test_a_build_and_a_collection_at_once_lose_nothing(builders: Builders) -> None:
    with builders.start() as child:
        wait_until(lambda: builders.begun() == 1, child)
        store = Store(builders.root)
        with pytest.raises(StoreError, match="a run is using the store"):
            collect(store)
        builders.go.touch()
        child.wait()
    assert len(stored(store)) == 1
