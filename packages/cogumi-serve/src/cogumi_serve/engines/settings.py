"""Settings of the engines."""

from __future__ import annotations

from cogumi_core import Settings, execution_only


class LlamaCppSettings(Settings):
    """Settings of the engine `llama-cpp`."""

    threads: int = execution_only(0, ge=0, le=512, description="CPU threads; 0 takes every core this process may use")
    mmap: bool = execution_only(True, description="map the model file into memory in place of reading it")
