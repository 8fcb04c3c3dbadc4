"""The tutorials are true: followed word by word in an empty folder, every file works and every command ends well."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from docs_support import DOCS, Tutorial, blocks

from cogumi_compress.gguf.export import export_gguf
from cogumi_modifiers.testing import tiny_llama

PAGES = sorted(path for path in (DOCS / "tutorials").glob("*.md") if path.name != "README.md")


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_add_a_filter(tmp_path: Path) -> None:
    Tutorial(DOCS / "tutorials" / "add-a-filter.md", tmp_path).follow()
    (row,) = [json.loads(line) for line in (tmp_path / "out" / "dataset.jsonl").read_text().splitlines()]
    assert (row["id"], row["metadata"]["sentences"]) == ("moon", 2)


def test_add_a_benchmark_and_its_modifier(tmp_path: Path) -> None:
    """On a student so small that it trains in seconds, which is all that differs from the page."""

    def smaller(text: str) -> str:
        changed = re.sub(r"^student: .*$", "student: tiny.gguf", text, flags=re.MULTILINE)
        assert changed != text
        return changed

    export_gguf(tiny_llama(tmp_path / "tiny"), tmp_path / "tiny.gguf", "F16")
    page = DOCS / "tutorials" / "add-a-benchmark-and-its-modifier.md"
    Tutorial(page, tmp_path, edit={"recipe.yaml": smaller}).follow()
    report = json.loads((tmp_path / "out" / "system" / "report.json").read_text())
    assert "roman" in json.dumps(report)


def test_add_a_compressor_that_leaves_facts(tmp_path: Path) -> None:
    page = DOCS / "tutorials" / "add-a-compressor-that-leaves-facts.md"
    Tutorial(page, tmp_path, instead={"hf download": lambda: tiny_llama(tmp_path / "student")}).follow()
    facts = manifest(tmp_path / "out" / "model")["facts"]
    assert facts["sparsity"]["ffn"] == pytest.approx(0.3, abs=0.01)
    assert (facts["structure"], facts["quantisation"]) == ("unstructured", "F16")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_lists_exactly_the_files_that_are_touched(page: Path) -> None:
    """What is only there to try it (a recipe, some rows) is not among them."""
    listed = re.findall(r"^\| `([^`]+)` \|", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    made = [block.file for block in blocks(page) if block.file and block.file not in ("recipe.yaml", "rows.jsonl")]
    assert sorted(listed) == sorted(made)
    assert len(listed) <= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_ends_in_a_run(page: Path) -> None:
    assert any("cogumi run recipe.yaml" in block.text for block in blocks(page) if block.language == "sh")


@pytest.mark.parametrize("page", sorted((DOCS / "tutorials").glob("*.md")), ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_tutorial_is_listed() -> None:
    listed = re.findall(r"\]\(([a-z-]+\.md)\)", (DOCS / "tutorials" / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == [page.name for page in PAGES]
