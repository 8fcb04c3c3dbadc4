"""Artifacts: digests of content, manifests, and verification that trusts nothing."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cogumi_core.api.errors import DamagedArtifact, InputError, StoreError
from cogumi_core.api.types import ModelFacts, Vocabulary
from cogumi_core.store.artifacts import (
    Artifact,
    DigestCache,
    Manifest,
    digest_files,
    digest_path,
    read_manifest,
    require_intact,
    verify,
)
from cogumi_core.store.fingerprint import fingerprint, sha256_text
from cogumi_core.store.store import Store

INPUTS = {"stage": "compress", "component": "gguf", "seed": 1}
FINGERPRINT = fingerprint(INPUTS)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=20)
FILES = st.dictionaries(NAMES.filter(lambda name: name not in (".", "..", "manifest.json")), st.binary(max_size=50), max_size=6)


def build(root: Path, files: dict[str, bytes], form: str = "", facts: ModelFacts | None = None) -> Artifact:
    with Store(root).building(FINGERPRINT) as building:
        for name, content in files.items():
            (building.output / name).parent.mkdir(parents=True, exist_ok=True)
            (building.output / name).write_bytes(content)
        manifest = Manifest("model", "compress", "gguf", "cogumi-core", FINGERPRINT, INPUTS, format=form, facts=facts)
        return building.commit(manifest)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return build(tmp_path / "store", {"model.gguf": b"weights", "sub/notes.txt": b"notes"})


def written(folder: Path, files: dict[str, bytes]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@given(FILES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_a_digest_does_not_depend_on_place_or_order_of_writing(tmp_path: Path, files: dict[str, bytes]) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    assert digest_files(written(one, files)) == digest_files(written(other, dict(reversed(files.items()))))


@given(FILES, FILES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_folders_that_differ_have_digests_that_differ(tmp_path: Path, one: dict[str, bytes], other: dict[str, bytes]) -> None:
    digests = [digest_files(written(tmp_path / "x", files))[1] for files in (one, other)]
    assert (digests[0] == digests[1]) == (one == other)


def test_a_link_in_an_artifact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="link is a link"):
        digest_files(tmp_path)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda folder: (folder / "model.gguf").write_bytes(b"weightX"), "model.gguf: changed: the content differs"),
        (lambda folder: (folder / "model.gguf").write_bytes(b"w"), "model.gguf: changed: 1 bytes instead of 7"),
        (lambda folder: (folder / "sub/notes.txt").unlink(), "sub/notes.txt: missing"),
        (lambda folder: (folder / "sub/more.txt").write_text("x"), "sub/more.txt: added"),
        (lambda folder: (folder / ".hidden").write_text("x"), ".hidden: added"),
        (lambda folder: (folder / "link").symlink_to("model.gguf"), "link: added"),
        (lambda folder: (folder / "link").symlink_to("nowhere"), "link: added"),
        (lambda folder: swap_for_link(folder / "model.gguf"), "model.gguf: replaced by a link"),
        (lambda folder: edit(folder, "metrics", {"ppl": 1}), None),
        (lambda folder: edit(folder, "fingerprint_inputs", {"seed": 2}), "manifest.json: changed: its fingerprint"),
        (lambda folder: edit(folder, "digest", "0" * 64), "manifest.json: changed: its digest"),
    ],
)
def test_verify_names_every_difference(artifact: Artifact, damage: Callable[[Path], object], expected: str | None) -> None:
    damage(artifact.path)
    problems = verify(artifact.path)
    assert len(problems) == (expected is not None)
    assert expected is None or problems[0].startswith(expected)


def test_a_damaged_artifact_is_refused_with_the_names_of_its_files(artifact: Artifact) -> None:
    require_intact(artifact.path)
    (artifact.path / "model.gguf").unlink()
    with pytest.raises(DamagedArtifact, match=r"model\.gguf: missing"):
        require_intact(artifact.path)


def swap_for_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    (path.parent.parent / "elsewhere").write_bytes((path.with_name("elsewhere")).read_bytes())
    path.with_name("elsewhere").unlink()
    path.symlink_to("../elsewhere")


def edit(folder: Path, key: str, value: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))


def test_an_untouched_artifact_verifies_wherever_it_is_copied(artifact: Artifact, tmp_path: Path) -> None:
    copy = shutil.copytree(artifact.path, tmp_path / "copy")
    assert verify(copy) == []
    assert Artifact.read(copy).digest == artifact.digest


def test_a_change_that_keeps_size_and_times_is_seen(artifact: Artifact) -> None:
    path = artifact.path / "model.gguf"
    before = path.stat()
    path.write_bytes(b"weightX")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert verify(artifact.path) == ["model.gguf: changed: the content differs (sha256), the size does not"]


def test_one_packed_file_is_verified_by_the_manifest_beside_it(tmp_path: Path) -> None:
    artifact = build(tmp_path / "store", {"model.gguf.zst": b"packed", "other": b"x"})
    (artifact.path / "other").unlink()
    assert verify(artifact.path / "model.gguf.zst") == []
    (artifact.path / "model.gguf.zst").write_bytes(b"pAcked")
    assert verify(artifact.path / "model.gguf.zst")[0].startswith("model.gguf.zst: changed")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not an artifact: it has no manifest.json"),
        ("{", "not valid JSON .*build the artifact again"),
        ("[]", "a JSON object is expected, this is a list"),
        ("{}", "'files' must be a list"),
        ('{"files": [{"path": "../../etc/passwd", "size": 1, "sha256": ""}]}', "'files' must be a list"),
        ('{"files": [{"path": "/etc/passwd", "size": 1, "sha256": ""}]}', "'files' must be a list"),
    ],
)
def test_what_is_no_artifact_is_an_input_error(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=message):
        verify(tmp_path)


def test_a_manifest_reads_back_as_it_was_written(artifact: Artifact) -> None:
    assert read_manifest(artifact.path) == artifact.manifest
    assert artifact.manifest.to_json() == (artifact.path / "manifest.json").read_text()


def test_a_manifest_of_a_newer_version_says_to_upgrade(artifact: Artifact) -> None:
    edit(artifact.path, "schema", 3)
    with pytest.raises(StoreError, match="pip install --upgrade cogumi-core"):
        read_manifest(artifact.path)


def test_a_manifest_keeps_what_made_it_and_where(artifact: Artifact) -> None:
    assert artifact.manifest.fingerprint_inputs == INPUTS
    assert "pydantic" in artifact.manifest.provenance["packages"]
    assert {"python", "platform", "started", "seconds"} <= artifact.manifest.provenance.keys()


FACTS = ModelFacts({"ffn": 0.5}, "2:4", Vocabulary(32_000, 128_256, "English"), "Q4_K", {"plugin": [1, 2]})


@pytest.mark.parametrize(
    ("files", "form", "name"),
    [
        ({"model.gguf": b"x", "notes": b"y"}, "gguf", "model.gguf"),
        ({"config.json": b"{}", "model.safetensors": b"x"}, "hf", ""),
        ({"model.gguf.zst": b"x"}, "zstd", "model.gguf.zst"),
        ({"weights.onnx": b"x", "tokens": b"y"}, "onnx", ""),
        ({"whole.onnx": b"x"}, "onnx", "whole.onnx"),
    ],
)
def test_a_model_is_of_the_format_that_its_maker_declared(
    tmp_path: Path, files: dict[str, bytes], form: str, name: str
) -> None:
    artifact = build(tmp_path / "store", files, form, FACTS)
    model = artifact.model()
    assert (model.format, model.path, model.facts) == (form, artifact.path / name, FACTS)
    assert model.digest == digest_path(model.path, DigestCache(None))


def test_an_artifact_without_a_model_is_refused_as_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no model: its manifest names no format"):
        build(tmp_path / "store", {"dataset.jsonl": b""}).model()


@given(
    st.builds(
        ModelFacts,
        st.dictionaries(NAMES, st.floats(0, 1), max_size=3),
        NAMES,
        st.none() | st.builds(Vocabulary, st.integers(1), st.integers(1), NAMES),
        NAMES,
        st.dictionaries(NAMES, st.integers() | st.lists(NAMES), max_size=2),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_facts_come_back_from_the_disk_as_they_were(tmp_path: Path, facts: ModelFacts) -> None:
    manifest = Manifest("model", "compress", "gguf", "cogumi-core", FINGERPRINT, INPUTS, format="gguf", facts=facts)
    (tmp_path / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    assert read_manifest(tmp_path).facts == facts


def test_facts_that_are_none_are_told_as_damage(artifact: Artifact) -> None:
    edit(artifact.path, "facts", {"sparsity_of_yesterday": 0.5})
    with pytest.raises(InputError, match="is not the manifest of an artifact"):
        read_manifest(artifact.path)


def test_facts_are_part_of_what_a_later_stage_depends_on(tmp_path: Path) -> None:
    plain = build(tmp_path / "a", {"f": b"x"}, facts=ModelFacts())
    sparse = build(tmp_path / "b", {"f": b"x"}, facts=ModelFacts({"ffn": 0.5}))
    assert plain.digest == sparse.digest == plain.input_digest
    assert sparse.input_digest != plain.input_digest


# --- digests of what comes from outside -----------------------------------------------------------------------------------


def test_the_digest_of_a_file_is_that_of_its_content_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c.jsonl").symlink_to(tmp_path / "a.txt")
    cache = DigestCache(None)
    assert digest_path(tmp_path / "a.txt", cache) == digest_path(tmp_path / "b/c.jsonl", cache) == sha256_text("hello")


def test_a_folder_of_links_like_a_download_cache_has_the_digest_of_the_files(tmp_path: Path) -> None:
    real = written(tmp_path / "real", {"config.json": b"{}"})
    links = written(tmp_path / "links", {".gitattributes": b"x"})
    (links / "config.json").symlink_to(real / "config.json")
    assert digest_path(links, DigestCache(None)) == digest_path(real, DigestCache(None))


def test_an_artifacts_folder_used_as_input_has_the_artifacts_digest(artifact: Artifact) -> None:
    assert digest_path(artifact.path, DigestCache(None)) == artifact.digest


def test_another_programs_manifest_counts_as_content(tmp_path: Path) -> None:
    digests = [digest_path(written(tmp_path / "x", {"manifest.json": text}), DigestCache(None)) for text in (b"{}", b"[]")]
    assert digests[0] != digests[1]


def test_a_missing_input_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        digest_path(tmp_path / "nothing", DigestCache(None))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were really read."""
    from cogumi_core.store import digests

    read: list[Path] = []
    real = digests.hash_file

    def counting(path: Path, *, sync: bool = False) -> str:
        read.append(path)
        return real(path, sync=sync)

    monkeypatch.setattr(digests, "hash_file", counting)
    return read


def old_file(path: Path, text: str = "x") -> Path:
    path.write_text(text)
    time.sleep(0.06)  # longer than a tick of the file system's clock
    return path


def test_an_unchanged_file_is_hashed_once(tmp_path: Path, hashed: list[Path]) -> None:
    path = old_file(tmp_path / "big.gguf")
    for _ in range(3):
        digest_path(path, DigestCache(tmp_path / "digests.sqlite"))
    assert len(hashed) == 1


def test_a_file_put_back_with_its_old_times_is_hashed_again(tmp_path: Path, hashed: list[Path]) -> None:
    path, cache = old_file(tmp_path / "f", "one"), DigestCache(tmp_path / "digests.sqlite")
    first, before = digest_path(path, cache), path.stat()
    old_file(path, "two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest_path(path, cache) != first
    assert len(hashed) == 2


def test_a_file_written_this_instant_is_not_remembered(
    tmp_path: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DigestCache(tmp_path / "digests.sqlite")
    (tmp_path / "f").write_text("x")
    # Whenever this test gets its turn, to the cache it is the instant of the change.
    monkeypatch.setattr("cogumi_core.store.digests.time.time_ns", lambda: (tmp_path / "f").stat().st_ctime_ns)
    digest_path(tmp_path / "f", cache)
    digest_path(tmp_path / "f", cache)
    assert len(hashed) == 2


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_a_damaged_digest_cache_costs_only_time(tmp_path: Path, content: bytes) -> None:
    path = old_file(tmp_path / "f", "hello")
    (tmp_path / "digests.sqlite").write_bytes(content)
    for _ in range(2):
        assert digest_path(path, DigestCache(tmp_path / "digests.sqlite")) == sha256_text("hello")
