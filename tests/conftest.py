"""What holds for every test: the machine may be busy, and nothing is left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from processes import children

# Some tests load llama.cpp without our engine, which reads this when it starts; see `cogumi_serve.engines.llama_cpp.openmp`.
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ |= {"GOMP_SPINCOUNT": "1000", "OMP_WAIT_POLICY": "active"}

HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "loky")
"""Processes that libraries keep until the interpreter ends."""


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """A child that outlives its test disturbs whichever test comes next, so it fails here, by its own name."""
    before = children()
    yield
    left = {pid: command for pid, command in children().items() if pid not in before and not _is_helper(command)}
    assert left == {}, "the test left processes behind that it must wait for"


def _is_helper(command: str) -> bool:
    return any(name in command for name in HELPERS)
