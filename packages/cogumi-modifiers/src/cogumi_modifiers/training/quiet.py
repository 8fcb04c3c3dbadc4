"""Keeps the libraries' own logs, progress bars and advice off the screen while we work.

Cogumi reports through events and its own messages; two voices at once help nobody. The previous state comes back
afterwards, because a library that changes its host's logging for good is a nuisance. Errors still pass.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

from datasets.utils import logging as datasets_logging
from transformers.utils import logging as transformers_logging

_OTHERS = ("accelerate", "trl", "peft", "torch.distributed", "bitsandbytes", "gguf")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Errors only, no progress bars, no warnings of transformers, datasets, trl, peft and accelerate inside the block."""
    before = transformers_logging.get_verbosity(), datasets_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    levels = {name: logging.getLogger(name).level for name in _OTHERS}
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    datasets_logging.set_verbosity_error()
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(before[0])
        datasets_logging.set_verbosity(before[1])
        if bars:
            transformers_logging.enable_progress_bar()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
