"""The store: built once, whole or not at all; damage noticed; what no recipe reaches collected."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from cogumi_core.api.errors import InputError, PluginError, StoreError
from cogumi_core.store.artifacts import Artifact, Manifest
from cogumi_core.store.atomic import write_atomic
from cogumi_core.store.collection import collect, stored
from cogumi_core.store.fingerprint import fingerprint
from cogumi_core.store.store import Store, default_store


def inputs_of(**changed: object) -> dict[str, object]:
    return {"stage": "filter", "component": "length", "version": "1", "settings": {"min": 1}, "seed": 1, **changed}


def build(store: Store, inputs: Mapping[str, object], text: str = "payload") -> Artifact:
    with store.building(key := fingerprint(inputs)) as building:
        if building.hit is None:
            (building.output / "data.txt").write_text(text)
            building.commit(manifest(inputs))
    found = store.find(key)
    assert found is not None
    return found


def manifest(inputs: Mapping[str, object]) -> Manifest:
    return Manifest("dataset", str(inputs["stage"]), str(inputs["component"]), "cogumi-core", fingerprint(inputs), inputs)


INPUTS = inputs_of()
KEY = fingerprint(INPUTS)


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, notices: list[str]) -> Store:
    return Store(tmp_path / "store", notices.append)


def settle(seconds: float = 0.06) -> None:
    """Lets the file system's clock move on, so that digests are remembered."""
    time.sleep(seconds)


def fail_after_a_checkpoint(store: Store) -> None:
    with store.building(KEY) as building:
        (building.output / "half").write_text("x")
        (building.scratch / "checkpoint").write_text("y")
        raise InputError


def test_nothing_is_found_in_a_store_that_does_not_exist(store: Store) -> None:
    assert store.find(KEY) is None
    assert store.nearest("filter", "length", INPUTS) is None
    assert (stored(store), collect(store)) == ([], [])
    assert not store.root.exists()


def test_what_was_built_is_found_by_its_fingerprint(store: Store) -> None:
    artifact = build(store, INPUTS)
    assert artifact.path.name == f"filter-length-{KEY[:16]}"
    assert (artifact.path / "data.txt").read_text() == "payload"
    assert store.find(KEY, check=True) == artifact


def test_a_second_build_is_given_the_first(store: Store) -> None:
    artifact = build(store, INPUTS)
    with store.building(KEY) as building:
        assert building.hit == artifact


def test_equal_content_has_an_equal_digest_whenever_it_was_built(tmp_path: Path) -> None:
    one, other = (build(Store(tmp_path / name), INPUTS) for name in ("a", "b"))
    assert one.digest == other.digest


def test_a_failed_build_leaves_no_output_and_keeps_its_scratch(store: Store) -> None:
    with pytest.raises(InputError):
        fail_after_a_checkpoint(store)
    assert store.find(KEY) is None
    with store.building(KEY) as building:
        assert building.resumed
        assert list(building.output.iterdir()) == []
        assert (building.scratch / "checkpoint").read_text() == "y"


def test_scratch_goes_when_the_artifact_is_there(store: Store) -> None:
    with store.building(KEY) as building:
        assert not building.resumed
        (building.scratch / "checkpoint").write_text("y")
        building.commit(manifest(INPUTS))
    assert list((store.root / "building").iterdir()) == []
    assert list((store.root / "locks").iterdir()) == []


def test_a_component_may_not_write_the_manifest(store: Store) -> None:
    with store.building(KEY) as building:
        (building.output / "manifest.json").write_text("{}")
        with pytest.raises(PluginError, match=r"wrote manifest\.json"):
            building.commit(manifest(INPUTS))
    assert store.find(KEY) is None


def test_two_threads_build_the_same_artifact_once(store: Store) -> None:
    builds: list[int] = []

    def work(number: int) -> None:
        with store.building(KEY) as building:
            if building.hit is None:
                builds.append(number)
                time.sleep(0.2)
                building.commit(manifest(INPUTS))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1


def test_who_waits_is_told_so_and_may_give_up(store: Store) -> None:
    waits: list[float] = []

    def waiting(seconds: float) -> None:
        waits.append(seconds)
        if seconds > 0.2:
            raise InterruptedError

    with store.building(KEY), pytest.raises(InterruptedError), store.building(KEY, waiting=waiting):
        pass
    assert waits[0] == 0.0
    assert waits == sorted(waits)


# --- damage ---------------------------------------------------------------------------------------------------------------


def test_a_file_of_another_size_is_noticed_named_and_built_again(store: Store, notices: list[str]) -> None:
    artifact = build(store, INPUTS)
    (artifact.path / "data.txt").write_text("pay")
    assert store.find(KEY) is None
    assert "data.txt: 3 bytes instead of 7" in notices[0]
    assert (build(store, INPUTS).path / "data.txt").read_text() == "payload"
    (kept,) = (store.root / "damaged").iterdir()
    assert (kept / "data.txt").read_text() == "pay"


def test_a_file_of_the_same_size_is_noticed_when_the_artifact_is_used(store: Store, notices: list[str]) -> None:
    artifact = build(store, INPUTS)
    settle()
    assert store.find(KEY, check=True) is not None
    (artifact.path / "data.txt").write_text("PAYLOAD")
    assert store.find(KEY, check=True) is None
    assert "data.txt: the content differs (sha256)" in notices[-1]


@pytest.mark.parametrize("name", ["data.txt", "manifest.json"])
def test_a_missing_file_is_noticed_and_built_again(store: Store, notices: list[str], name: str) -> None:
    (build(store, INPUTS).path / name).unlink()
    assert store.find(KEY) is None
    assert name in notices[0]
    assert build(store, INPUTS)


def test_a_damaged_manifest_is_noticed_and_built_again(store: Store, notices: list[str]) -> None:
    (build(store, INPUTS).path / "manifest.json").write_text('{"files": [')
    assert build(store, INPUTS)
    assert "not valid JSON" in notices[0]


def test_an_added_file_is_set_aside_without_building_again(store: Store, notices: list[str]) -> None:
    artifact = build(store, INPUTS)
    (artifact.path / "note.txt").write_text("mine")
    with store.building(KEY) as building:
        assert building.hit == artifact
    assert not (artifact.path / "note.txt").exists()
    assert [path.read_text() for path in (store.root / "damaged").iterdir()] == ["mine"]
    assert "note.txt" in notices[-1]


def test_a_hit_reads_no_file_that_did_not_change(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    build(store, INPUTS)
    settle()
    assert store.find(KEY, check=True)
    monkeypatch.setattr("cogumi_core.store.digests.hash_file", lambda path, **_: pytest.fail(f"{path} was read again"))
    assert store.find(KEY, check=True)


def test_an_artifact_of_a_newer_version_is_not_taken_for_damaged(store: Store) -> None:
    path = build(store, INPUTS).path / "manifest.json"
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 3'))
    with pytest.raises(StoreError, match="upgrade"):
        store.find(KEY)
    with pytest.raises(StoreError, match="upgrade"), store.building(KEY):
        pass
    assert path.exists()


# --- explaining, listing, collecting --------------------------------------------------------------------------------------


def test_the_nearest_artifact_is_the_one_with_fewest_differences(store: Store) -> None:
    build(store, inputs_of(seed=2, version="2"))
    build(store, inputs_of(seed=3))
    build(store, inputs_of(component="format"))
    nearest = store.nearest("filter", "length", INPUTS)
    assert nearest is not None
    assert nearest.fingerprint_inputs["seed"] == 3


def test_a_component_of_a_longer_name_is_not_near(store: Store) -> None:
    build(store, inputs_of(component="length+format"))
    assert store.nearest("filter", "length", INPUTS) is None
    assert store.nearest("filter", "length+format", INPUTS) is not None


def test_what_a_recipe_reaches_is_kept_and_the_rest_goes(store: Store) -> None:
    kept, pinned, other = (build(store, inputs_of(seed=seed)) for seed in (1, 2, 3))
    store.pin("recipe.yaml", [pinned.manifest.fingerprint])
    removed = collect(store, [kept.manifest.fingerprint])
    assert [item.path for item in removed] == [other.path]
    assert {item.artifact.path for item in stored(store)} == {kept.path, pinned.path}


def test_a_new_pin_takes_the_place_of_the_old_one(store: Store) -> None:
    artifact = build(store, INPUTS)
    store.pin("recipe.yaml", [KEY])
    assert collect(store) == []
    store.pin("recipe.yaml", [])
    assert [item.path for item in collect(store)] == [artifact.path]


def test_a_dry_run_and_a_minimum_age_remove_nothing(store: Store) -> None:
    build(store, INPUTS)
    store.pin("recipe.yaml", [KEY])
    assert len(collect(store, forget=["recipe.yaml"], dry_run=True)) == 1
    assert collect(store, forget=["recipe.yaml"], older_than=3600) == []
    assert store.find(KEY)


def test_a_forgotten_recipe_keeps_nothing(store: Store) -> None:
    build(store, INPUTS)
    store.pin("recipe.yaml", [KEY])
    assert len(collect(store, forget=["recipe.yaml"])) == 1
    assert list(store.roots.read()) == []


def test_nothing_is_collected_while_a_run_uses_the_store(store: Store) -> None:
    build(store, INPUTS)
    with store.in_use(), pytest.raises(StoreError, match="a run is using the store"):
        collect(store)
    assert len(collect(store)) == 1


def test_what_a_run_can_resume_from_is_kept_for_a_week(store: Store) -> None:
    with pytest.raises(InputError):
        fail_after_a_checkpoint(store)
    assert collect(store) == []
    folder, week_ago = store.root / "building" / KEY, time.time() - 8 * 24 * 3600
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (week_ago, week_ago))
    assert [item.path for item in collect(store)] == [folder]


def test_damaged_roots_stop_collection(store: Store) -> None:
    build(store, INPUTS)
    store.pin("recipe.yaml", [KEY])
    next((store.root / "roots").iterdir()).write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        collect(store)
    assert store.find(KEY)


def test_the_list_says_which_recipes_reach_an_artifact(store: Store) -> None:
    build(store, INPUTS)
    store.pin("a.yaml", [KEY])
    store.pin("b.yaml", [KEY])
    (item,) = stored(store)
    assert item.recipes == ("a.yaml", "b.yaml") or item.recipes == ("b.yaml", "a.yaml")
    assert 0 <= item.age < 60


def test_the_default_store_is_the_environments_or_the_users_cache() -> None:
    assert default_store({"COGUMI_STORE": "/data/cogumi"}) == Path("/data/cogumi")
    assert default_store({}).parts[-2:] == ("cogumi", "store")


def test_an_atomic_write_that_fails_leaves_the_old_text(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "new \ud83d")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
