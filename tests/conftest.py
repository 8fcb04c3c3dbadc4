"""What every test must leave behind: nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from processes import children

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
