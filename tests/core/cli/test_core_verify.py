"""`cogumi verify` and `cogumi store`: exit codes, names and the lines people and programs read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import finished

from cogumi_core.store.artifacts import Artifact, Manifest
from cogumi_core.store.digests import digest_files
from cogumi_core.store.fingerprint import fingerprint
from cogumi_core.store.store import Store

INPUTS = {"stage": "compress", "component": "gguf"}
KEY = fingerprint(INPUTS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def artifact(store: Store) -> Artifact:
    with store.building(KEY) as building:
        (building.output / "model.gguf").write_bytes(b"weights")
        (building.output / "notes.txt").write_bytes(b"abc")
        return building.commit(Manifest("model", "compress", "gguf", "cogumi-core", KEY, INPUTS, stage="compress[0]"))


def cogumi(*arguments: str | Path) -> Any:
    return finished(sys.executable, "-m", "cogumi_core.cli.main", *arguments)


def test_an_intact_artifact_is_ok(artifact: Artifact) -> None:
    done = cogumi("verify", artifact.path)
    assert (done.returncode, done.stdout) == (0, "ok: 2 files, 10 bytes\n")


def test_every_difference_is_named_and_ends_with_one(artifact: Artifact) -> None:
    (artifact.path / "model.gguf").write_bytes(b"weightX")
    (artifact.path / "notes.txt").unlink()
    (artifact.path / "extra.txt").write_text("x")
    done = cogumi("verify", artifact.path)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["model.gguf", "notes.txt", "extra.txt"]


def test_a_system_of_any_manifest_with_a_list_of_files_is_verified(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/model.gguf").write_bytes(b"w")
    entries, _ = digest_files(tmp_path)
    rows = [{"path": entry.path, "size": entry.size, "sha256": entry.sha256} for entry in entries]
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "quickstart", "base": {}, "files": rows}))
    assert cogumi("verify", tmp_path).returncode == 0
    (tmp_path / "base/other").write_text("x")
    assert cogumi("verify", tmp_path).stdout.startswith("base/other: added")


@pytest.mark.parametrize("name", ["nothing", "", "file.txt"])
def test_what_is_no_artifact_ends_with_two_and_says_what_was_expected(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    done = cogumi("verify", tmp_path / name)
    assert done.returncode == 2
    assert "expected" in done.stderr
    assert "Traceback" not in done.stderr


def listed(store: Store) -> Any:
    return json.loads(cogumi("store", "ls", "--store", store.root, "--json").stdout)


def test_the_store_lists_its_artifacts(store: Store, artifact: Artifact) -> None:
    store.pin("recipe.yaml", [KEY])
    (row,) = listed(store)["artifacts"]
    assert (row["stage_id"], row["component"], row["bytes"], row["recipes"]) == ("compress", "gguf", 10, ["recipe.yaml"])
    assert "1 artifacts, 10 B" in cogumi("store", "ls", "--store", store.root).stdout


def test_a_dry_run_removes_nothing_and_says_what_would_go(store: Store, artifact: Artifact) -> None:
    done = cogumi("store", "gc", "--dry-run", "--store", store.root)
    assert f"would remove {artifact.path.name}" in done.stdout
    assert listed(store)["artifacts"]


def test_collection_removes_what_no_recipe_reaches(store: Store, artifact: Artifact) -> None:
    store.pin("recipe.yaml", [KEY])
    assert cogumi("store", "gc", "--store", store.root).stdout.startswith("removed 0 folders")
    done = cogumi("store", "gc", "--forget", "recipe.yaml", "--json", "--store", store.root)
    assert [row["path"] for row in json.loads(done.stdout)["removed"]] == [str(artifact.path)]
    assert listed(store)["artifacts"] == []


def test_an_unknown_recipe_to_forget_is_said(store: Store, artifact: Artifact) -> None:
    done = cogumi("store", "gc", "--forget", "other.yaml", "--store", store.root)
    assert done.returncode == 2
    assert "knows no recipe 'other.yaml'" in done.stderr
