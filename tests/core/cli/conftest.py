"""The command line on a host on which only a test's own plugins are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from judge_support import CLOUD, FAR, JUDGED, RECKONED, WAITING
from section_support import COMPONENT, SECTION

from cogumi_core.cli.main import main
from cogumi_core.formats.rows import example_row, write_rows
from cogumi_core.plugins.host import PluginHost
from cogumi_core.testing import IsolatedPlugins
from cogumi_core.testing.samples import sample_examples

Cogumi = Callable[..., Any]


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """`main` sets up logging, as a program may."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@pytest.fixture
def cogumi(
    isolated_plugins: IsolatedPlugins,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cogumi_store: Path,
) -> Cogumi:
    """Runs a command on a recipe beside `rows.jsonl`, six rows; gives exit code, standard output and standard error."""
    isolated_plugins.add(CLOUD, FAR, JUDGED, RECKONED, WAITING)
    isolated_plugins.add(COMPONENT, sections=[SECTION], distribution="their-plugin")
    monkeypatch.setattr(PluginHost, "discover", lambda environ=None: isolated_plugins.host)
    monkeypatch.delenv("CLOUD_KEY", raising=False)
    write_rows(tmp_path / "rows.jsonl", map(example_row, sample_examples(6)))

    def command(name: str, text: str, *options: str) -> tuple[int, str, str]:
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(text, encoding="utf-8")
        capsys.readouterr()
        code = main([name, str(recipe), *options])
        out, err = capsys.readouterr()
        return code, out, err

    return command
