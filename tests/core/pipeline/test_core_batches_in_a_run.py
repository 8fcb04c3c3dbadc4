"""A run whose teacher takes batches ends with the time to come back, the plan shows what is pending, the next run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import Bench

from cogumi_core import Pending
from cogumi_core.pipeline.forecast import forecast
from cogumi_core.testing import IsolatedPlugins
from cogumi_core.testing.batch_provider import FakeBatchTeacher, Moods
from cogumi_core.testing.fakes import ListSource
from cogumi_core.testing.samples import sample_prompts

RECIPE = "budget: {usd: 100}\nsources: [{use: list}]\ndistill: [{use: cloud}]\n"


@pytest.fixture
def provider(tmp_path: Path) -> FakeBatchTeacher:
    folder = tmp_path / "provider"
    folder.mkdir()
    return FakeBatchTeacher(folder, Moods(polls=1, seconds=7200.0))


@pytest.fixture
def bench(isolated_plugins: IsolatedPlugins, tmp_path: Path, provider: FakeBatchTeacher) -> Bench:
    isolated_plugins.offer("source", "list", lambda settings, services: ListSource(sample_prompts(5)))
    isolated_plugins.offer("teacher", "cloud", lambda settings, services: provider)
    return Bench(isolated_plugins, tmp_path)


def bought(provider: FakeBatchTeacher) -> int:
    return len((provider.folder / "bought").read_text(encoding="utf-8").splitlines())


def test_a_run_ends_with_the_time_to_come_back_and_the_next_one_takes_the_answers_in(
    bench: Bench, provider: FakeBatchTeacher
) -> None:
    assert bench.plan(RECIPE).pending == ()
    with pytest.raises(Pending, match=r"5 requests are in a batch.*Come back at .* UTC") as caught:
        bench.run(RECIPE)
    assert caught.value.until is not None
    assert caught.value.exit_code == 4
    assert bench.built() == ["sources"]
    (sentence,) = bench.plan(RECIPE).pending
    assert "5 requests of stage 'distill' are in a batch" in sentence

    done = bench.run(RECIPE)
    assert done.artifacts["distill"].manifest.metrics["kept"] == 5
    assert bought(provider) == 5
    assert bench.plan(RECIPE).pending == ()


def test_a_plan_forecasts_the_price_of_the_batch(bench: Bench, provider: FakeBatchTeacher) -> None:
    in_batches = forecast(bench.plan(RECIPE))["usd"]
    provider.wants_batches = False
    one_by_one = forecast(bench.plan(RECIPE))["usd"]
    assert in_batches is not None
    assert one_by_one == pytest.approx(2 * in_batches)
