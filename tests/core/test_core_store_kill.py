"""`kill -9` at every moment of a build, and several processes on one store."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cogumi_core.artifacts import verify
from cogumi_core.errors import StoreError
from cogumi_core.store import Store

BUILD = """
import json, os, signal, sys, time
from pathlib import Path
from cogumi_core.artifacts import Manifest, verify
from cogumi_core.fingerprint import fingerprint
from cogumi_core.store import Store

INPUTS = {"kind": "filter", "component": "length", "seed": 1}
KEY = fingerprint(INPUTS)

def build(store, log, pause=0.0):
    with store.building(KEY) as building:
        if building.hit is None:
            with open(log, "a") as lines:
                lines.write("resumed\\n" if building.resumed else "new\\n")
            (building.scratch / "checkpoint").write_text("half")
            time.sleep(pause)
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

WAIT_AND_BUILD = BUILD + "\nprint('ready', flush=True)\nbuild(Store(Path(sys.argv[1])), sys.argv[2], float(sys.argv[3]))\n"


def start(root: Path, log: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WAIT_AND_BUILD, str(root), str(log), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def test_a_kill_at_any_moment_leaves_the_whole_artifact_or_none(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILL_EVERYWHERE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    moments, seen = json.loads(done.stdout)
    assert moments > 20
    # (found after the kill, builds begun before it, builds in all): killed before the build, during it, between its
    # manifest and its renaming (nothing is done again), and after.
    assert {(False, 0, 1), (False, 1, 2), (False, 1, 1), (True, 1, 1)} == {tuple(item) for item in seen}


def test_processes_that_need_the_same_artifact_build_it_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    children = [start(tmp_path / "store", log, 0.5) for _ in range(3)]
    assert [child.wait(timeout=30) for child in children] == [0, 0, 0]
    for child in children:
        child.communicate()
    assert log.read_text() == "new\n"


def test_the_lock_of_a_killed_process_is_free_and_its_scratch_is_used(tmp_path: Path) -> None:
    log = tmp_path / "log"
    victim = start(tmp_path / "store", log, 60)
    wait_for(log)
    heir = start(tmp_path / "store", log, 0)
    time.sleep(0.3)
    victim.send_signal(signal.SIGKILL)
    assert heir.wait(timeout=30) == 0
    for child in (victim, heir):
        child.communicate()
    assert log.read_text() == "new\nresumed\n"


def test_a_store_killed_many_times_still_ends_in_a_whole_artifact(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for pause in (0.0, 0.01, 0.02, 0.05):
        child = start(tmp_path / "store", log, 30)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(pause)
        child.kill()
        child.communicate()
    final = start(tmp_path / "store", log, 0)
    final.communicate(timeout=30)
    (item,) = Store(tmp_path / "store").ls()
    assert verify(item.artifact.path) == []


def test_a_build_and_a_collection_at_once_lose_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = start(tmp_path / "store", log, 0.3)
    wait_for(log)
    store = Store(tmp_path / "store")
    with pytest.raises(StoreError, match="a run is using the store"):
        store.gc()
    child.communicate(timeout=30)
    assert len(store.ls()) == 1
