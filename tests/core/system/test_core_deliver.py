"""The delivered system: chosen by what components declare, whatever their names and formats are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from bench import Bench
from pydantic import Field

from cogumi_core import (
    AdapterOffer,
    BudgetExceeded,
    InputError,
    Interval,
    ModelFacts,
    ModelRef,
    ModelReport,
    ModifierReport,
    RouterReport,
    RunContext,
    Settings,
)
from cogumi_core.report.files import from_system
from cogumi_core.store.artifacts import verify
from cogumi_core.system.manifest import read_system
from cogumi_core.testing import IsolatedPlugins

WEIGHTS = b"GGUF" + b"w" * 996
HF, TOY = frozenset({"hf"}), frozenset({"toy"})


class EngineSettings(Settings):
    threads: int = Field(2, description="threads")


class ToyEngine:
    def open(self, model: Path, options: Any) -> Any:
        raise NotImplementedError


class Toy:
    """One file, half as large; or, as a packer, a tenth."""

    def __init__(self, name: str, share: float) -> None:
        self.name, self.share = name, share

    def compress(self, model: ModelRef, output: Path, run: RunContext) -> ModelReport:
        (output / self.name).write_bytes(WEIGHTS[: int(len(WEIGHTS) * self.share)])
        return ModelReport(ModelFacts(quantisation="toy-4"), lossless=True)


class TwoSizes:
    """Offers a large adapter and a small one that is not as good."""

    def build(self, base: ModelRef, output: Path, run: RunContext) -> ModifierReport:
        offers = []
        for folder, size, solved in (("large", 300, 0.8), ("small", 100, 0.6)):
            (output / folder).mkdir()
            (output / folder / "adapter.gguf").write_bytes(folder[:1].encode() * size)
            (output / folder / "outcomes.jsonl").touch()
            result = Interval(solved, solved - 0.1, solved + 0.1, 20)
            offers.append(AdapterOffer(folder, size // 10, size, result, 9, 1, 0.01, accepted=True, reason="It gains."))
        return ModifierReport("sums", Interval(0.4, 0.3, 0.5, 20), offers)


class ToyRouter:
    def fit(self, examples: Iterable[Any], output: Path, run: RunContext) -> RouterReport:
        (output / "router.json").write_text("{}")
        return RouterReport(0, 0, 0.5, None, None, None, None)

    def open(self, path: Path) -> Any:
        raise NotImplementedError


@pytest.fixture
def bench(isolated_plugins: IsolatedPlugins, tmp_path: Path) -> Bench:
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "config.json").write_text("{}")
    (tmp_path / "student" / "weights").write_bytes(WEIGHTS)
    (tmp_path / "tiny.gguf").write_bytes(WEIGHTS)
    offer = isolated_plugins.offer
    offer("engine", "toy-engine", lambda settings, services: ToyEngine(), EngineSettings, accepts=TOY)
    offer("compressor", "to-toy", lambda settings, services: Toy("model.toy", 0.5), accepts=HF, produces="toy")
    offer("compressor", "pack", lambda settings, services: Toy("model.packed", 0.1), accepts=TOY, produces="packed", packs=True)
    offer("modifier", "sums", lambda settings, services: TwoSizes())
    offer("router", "toy-router", lambda settings, services: ToyRouter())
    return Bench(isolated_plugins, tmp_path)


def text(
    *, student: str = "student", compress: str = "[{use: to-toy}]", head: str = "", modifiers: str = "[{use: sums}]"
) -> str:
    steps = f"compress: {compress}\n" if compress else ""
    return f"{head}student: {student}\nmeasure: off\n{steps}modifiers: {modifiers}\nrouter: {{use: toy-router}}\n"


def delivered(bench: Bench, recipe: str) -> Path:
    folder: Path = bench.run(recipe).delivered["system"]
    return folder


def test_the_base_is_what_the_engine_accepts_and_the_engine_is_recorded(bench: Bench) -> None:
    system = read_system(delivered(bench, text(head="engine: {use: toy-engine, with: {threads: 7}}\n")))
    assert (system.base.path, system.base.format) == ("base/model.toy", "toy")
    assert (system.engine.use, system.engine.settings) == ("toy-engine", {"threads": 7})
    assert system.router is not None
    assert system.router.component == "toy-router"
    assert verify(system.folder) == []


def test_the_best_adapter_is_carried_and_the_report_says_so(bench: Bench) -> None:
    folder = delivered(bench, text())
    assert (folder / "modifiers/sums/adapter.gguf").read_bytes() == b"l" * 300
    (modifier,) = from_system(folder).sections["modifiers"]
    assert modifier.carried == "large"
    assert [modifier.verdict_of(offer) for offer in modifier.report.offers] == [
        "carried in the system",
        "left out: another one is carried",
    ]


def test_under_a_byte_budget_the_one_that_fits_is_carried(bench: Bench) -> None:
    folder = delivered(bench, text(head="budget: {bytes: 700}\n"))
    assert (folder / "modifiers/sums/adapter.gguf").read_bytes() == b"s" * 100
    assert from_system(folder).sections["modifiers"][0].carried == "small"


def test_an_adapter_without_room_stays_out_of_the_system_and_the_report_says_why(bench: Bench) -> None:
    folder = delivered(bench, text(head="budget: {bytes: 550}\n"))
    assert read_system(folder).modifiers == ()
    assert not (folder / "modifiers").exists()
    assert from_system(folder).sections["modifiers"][0].verdict == "left out for want of bytes"


def test_what_a_component_packs_is_delivered_beside_the_system_and_counts_as_its_size(bench: Bench) -> None:
    done = bench.run(text(compress="[{use: to-toy}, {use: pack}]"))
    assert (done.delivered["packed"] / "model.packed").stat().st_size == 100
    system = read_system(done.delivered["system"])
    assert system.base.path == "base/model.toy"
    assert system.figures["bytes"]["base"] == 100


def test_a_base_may_be_a_folder(bench: Bench) -> None:
    bench.plugins.offer("engine", "folders", lambda settings, services: ToyEngine(), accepts=HF)
    system = read_system(delivered(bench, text(head="engine: folders\n", compress="")))
    assert (system.base.path, system.base.format) == ("base", "hf")
    assert {entry.path for entry in system.files} >= {"base/config.json", "base/weights"}
    assert verify(system.folder) == []


def test_a_student_that_runs_as_it_is_keeps_the_name_of_its_file(bench: Bench) -> None:
    bench.plugins.offer("engine", "files", lambda settings, services: ToyEngine(), accepts=frozenset({"gguf"}))
    system = read_system(delivered(bench, text(head="engine: files\n", student="tiny.gguf", compress="")))
    assert system.base.path == "base/tiny.gguf"
    assert (system.folder / "base/tiny.gguf").read_bytes() == WEIGHTS


def test_two_modifiers_of_one_name_are_served_under_two(bench: Bench) -> None:
    system = read_system(delivered(bench, text(modifiers="[{use: sums}, {use: sums}]")))
    assert [modifier.name for modifier in system.modifiers] == ["sums", "sums-2"]
    assert len(set(system.adapters.values())) == 2


def test_facts_of_models_are_in_the_report(bench: Bench) -> None:
    folder = delivered(bench, text())
    rows = {row.name: row.facts for row in from_system(folder).sections["stages"]}
    assert rows["compress[0]:to-toy"] == ModelFacts(quantisation="toy-4")
    assert "toy-4" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_system_above_its_bytes_names_each_part(bench: Bench) -> None:
    with pytest.raises(BudgetExceeded, match=r"more than budget\.bytes allows .*base 0\.0 MB"):
        bench.run(text(head="budget: {bytes: 400}\n"))
    assert not (bench.folder / "out" / "system").exists()


def test_without_an_engine_a_system_says_what_to_install(bench: Bench, tmp_path: Path) -> None:
    plugins = IsolatedPlugins()
    plugins.offer("modifier", "sums", lambda settings, services: TwoSizes())
    plugins.offer("router", "toy-router", lambda settings, services: ToyRouter())
    with pytest.raises(InputError, match="a system needs an engine that runs it, and none is installed; try: pip install"):
        Bench(plugins, tmp_path).run(text(compress="", student="tiny.gguf"))


def test_a_base_that_the_engine_does_not_run_says_how_to_get_one(bench: Bench) -> None:
    with pytest.raises(InputError, match=r"needs a base that its engine 'toy-engine' runs \(toy\)"):
        bench.run(text(compress=""))


def test_a_delivery_that_changes_nothing_writes_nothing(bench: Bench) -> None:
    first = (delivered(bench, text()) / "manifest.json").stat().st_mtime_ns
    assert (delivered(bench, text()) / "manifest.json").stat().st_mtime_ns == first


def test_a_model_is_delivered_with_its_format_and_facts(bench: Bench) -> None:
    done = bench.run("student: student\nmeasure: off\ncompress: [{use: to-toy}]\n")
    row = json.loads((done.delivered["model"] / "manifest.json").read_text(encoding="utf-8"))
    assert (row["artifact"], row["format"], row["facts"]["quantisation"]) == ("model", "toy", "toy-4")
    assert done.delivered["report"].is_file()
