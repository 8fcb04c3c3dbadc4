"""How llama.cpp's threads wait for each other: a short spin, then sleep.

They meet many times for every token. GNU's OpenMP lets a thread that waits spin for 300,000 rounds before it sleeps, which is
fastest on an idle machine and ruinous beside any other busy process: the one spins on the core that the other needs. Sleeping
at once (`OMP_WAIT_POLICY=passive`) is kind to neighbours and costs more than half of the speed where waking a core is slow.
`benchmarks/threads.py` measures it; docs/serving.md has the figures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SETTINGS: Final = {"GOMP_SPINCOUNT": "1000", "OMP_WAIT_POLICY": "active"}
"""The policy besides the count: where it is not named, OpenMP spins for 100 rounds only as soon as it manages more threads than
there are cores. So it does in a process that trains as well, because torch takes the library that llama.cpp loaded before it
(`make quickstart`: 660 s without the policy, 399 s with it)."""


@contextmanager
def short_spins() -> Iterator[None]:
    """Around the import of a library that brings OpenMP, which reads its environment when it is loaded and never again. What a
    person has set stays; other libraries and child processes see the environment as it was."""
    if any(name in os.environ for name in SETTINGS):
        yield
        return
    os.environ.update(SETTINGS)
    try:
        yield
    finally:
        for name in SETTINGS:
            del os.environ[name]
