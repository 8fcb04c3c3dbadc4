"""llama.cpp's C functions as four small objects: Library, Model, Context, Grammar.

llama-cpp-python's own `Llama` class is not used: its log-probabilities need memory for every position, it knows one adapter
fixed at loading, and its prefix cache forgets which adapter wrote it. Everything here is about calling C correctly: buffers,
lifetimes, return codes. What an answer is stands in `engine.py`.
"""

from __future__ import annotations

import atexit
import ctypes
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cogumi_core import EngineError, InputError
from cogumi_serve.engines.llama_cpp.openmp import short_spins
from cogumi_serve.grammar.errors import SchemaRefused

with short_spins():
    # The C declarations only: the library's own `Llama` is never made.
    from llama_cpp import _utils
    from llama_cpp import llama_cpp as lib

Floats = npt.NDArray[np.float32]

BLOCK: Final = 64
"""Tokens of a prompt computed together. Fixed, and counted from the start of the prompt: the last bits of a result depend on
how many tokens are computed at once, so that a reused prefix is bit-identical only if it was cut at the same places."""

_LOG_ERROR: Final = 3
_LOG_CONTINUE: Final = 5


class _Log:
    """Keeps llama.cpp's last complaints for error messages, and the terminal clean."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=4)
        self._level = 0
        self.callback = lib.llama_log_callback(self._receive)

    def _receive(self, level: int, text: bytes | None, _user_data: Any) -> None:
        self._level = self._level if level == _LOG_CONTINUE else level
        if self._level >= _LOG_ERROR and text:
            self._lines.append(text.decode("utf-8", "replace").strip())

    def take(self) -> str:
        """What was complained about since the last call, in one line."""
        said = "; ".join(line for line in self._lines if line)
        self._lines.clear()
        return said or "no reason given"


# The C library keeps one global log callback, and a pointer to it: it must live as long as the process.
_log = _Log()
# Opened when llama_cpp is imported and never closed, which Python reports at exit under -X dev.
atexit.register(_utils.outnull_file.close)
atexit.register(_utils.errnull_file.close)
_started = threading.Lock()
_backend_ready = False


def start_library() -> None:
    """Prepares llama.cpp once; also takes back the log, which importing llama_cpp sends to the terminal."""
    global _backend_ready
    with _started:
        lib.llama_log_set(_log.callback, ctypes.c_void_p(0))
        if not _backend_ready:
            lib.llama_backend_init()
            _backend_ready = True


def uses_amx() -> bool:
    """Whether this build of llama.cpp would compute with Intel's AMX. GCC 12 (Debian 12) compiles that part wrongly, and the
    first prompt ends the process with a segmentation fault, so it is kept out of the way; AVX-512 computes the same."""
    return b"AMX_INT8 = 1" in lib.llama_print_system_info()


class Model:
    """Weights and vocabulary. Closing frees them; contexts and adapters of it must be closed before."""

    def __init__(self, path: Path, *, vocab_only: bool, mmap: bool) -> None:
        start_library()
        params = lib.llama_model_default_params()
        params.vocab_only = vocab_only
        params.n_gpu_layers = 0
        params.use_extra_bufts = not uses_amx()
        params.load_mode = lib.LLAMA_LOAD_MODE_MMAP if mmap else lib.LLAMA_LOAD_MODE_NONE
        handle = lib.llama_model_load_from_file(str(path).encode(), params)
        if not handle:
            message = f"{path}: llama.cpp could not load this model: {_log.take()}"
            raise InputError(message)
        self.handle = handle
        self.vocab = lib.llama_model_get_vocab(handle)
        self.n_vocab: int = lib.llama_vocab_n_tokens(self.vocab)
        self.n_ctx_train: int = lib.llama_model_n_ctx_train(handle)
        self.n_embd: int = lib.llama_model_n_embd(handle)
        self.close = weakref.finalize(self, lib.llama_model_free, handle)

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        data = text.encode("utf-8", "surrogatepass")
        room = len(data) + 2
        buffer = (lib.llama_token * room)()
        count = lib.llama_tokenize(self.vocab, data, len(data), buffer, room, False, special)
        if count < 0:
            buffer = (lib.llama_token * -count)()
            count = lib.llama_tokenize(self.vocab, data, len(data), buffer, -count, False, special)
        return list(buffer[:count])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of a token, which may be part of a character; empty for a special token unless `special`."""
        buffer = ctypes.create_string_buffer(64)
        count = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[:count]

    def is_end(self, token: int) -> bool:
        return bool(lib.llama_vocab_is_eog(self.vocab, token))

    def is_control(self, token: int) -> bool:
        return bool(lib.llama_vocab_is_control(self.vocab, token))

    @property
    def bos(self) -> int:
        return int(lib.llama_vocab_bos(self.vocab))

    @property
    def eos(self) -> int:
        return int(lib.llama_vocab_eos(self.vocab))

    @property
    def adds_bos(self) -> bool:
        return bool(lib.llama_vocab_get_add_bos(self.vocab))

    def load_adapter(self, path: Path) -> Any:
        """Handle of a LoRA adapter in memory. Raises InputError."""
        handle = lib.llama_adapter_lora_init(self.handle, str(path).encode())
        if not handle:
            message = f"{path}: llama.cpp could not load this adapter for this base: {_log.take()}"
            raise InputError(message)
        return handle

    def free_adapter(self, handle: Any) -> None:
        lib.llama_adapter_lora_free(handle)


class Context:
    """A key-value cache and the working memory to compute on it, for one sequence."""

    def __init__(self, model: Model, n_ctx: int, threads: int, *, embeddings: bool = False) -> None:
        params = lib.llama_context_default_params()
        params.embeddings, params.pooling_type = embeddings, lib.LLAMA_POOLING_TYPE_NONE
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, BLOCK, BLOCK
        params.n_threads = params.n_threads_batch = threads
        params.n_seq_max = 1
        params.no_perf = True
        handle = lib.llama_init_from_model(model.handle, params)
        if not handle:
            message = f"no memory for a context of {n_ctx:,} tokens ({_log.take()}); open with a smaller context_tokens"
            raise EngineError(message)
        self._handle = handle
        self._memory = lib.llama_get_memory(handle)
        self._n_vocab, self._n_embd = model.n_vocab, model.n_embd
        self._batch = lib.llama_batch_init(BLOCK, 0, 1)
        self.close = weakref.finalize(self, _free_context, handle, self._batch, model)

    def set_adapter(self, adapter: Any) -> None:
        """Uses one adapter at full scale, or none. The cache must be cleared by the caller."""
        some = [] if adapter is None else [adapter]
        adapters = (lib.llama_adapter_lora_p_ctypes * len(some))(*some)
        scales = (ctypes.c_float * len(some))(*[1.0] * len(some))
        if lib.llama_set_adapters_lora(self._handle, adapters, len(some), scales):
            message = f"llama.cpp could not switch the adapter: {_log.take()}"
            raise EngineError(message)

    def clear(self) -> None:
        lib.llama_memory_clear(self._memory, False)

    def keep(self, length: int) -> None:
        """Forgets everything from position `length` on."""
        if not lib.llama_memory_seq_rm(self._memory, 0, length, -1):
            self.clear()
            message = f"llama.cpp could not cut the cache at position {length}"
            raise EngineError(message)

    def decode(self, tokens: Sequence[int], start: int, *, all_logits: bool = False) -> None:
        """Computes at most BLOCK `tokens`, the first at position `start`; the logits of the last (or all) can be read then."""
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = start + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = all_logits
        batch.logits[len(tokens) - 1] = True
        code = lib.llama_decode(self._handle, batch)
        if code:
            self.clear()
            message = f"llama.cpp failed at position {start} (code {code}): {_log.take()}"
            raise EngineError(message)

    def logits(self, index: int = -1) -> Floats:
        """A copy of the raw logits [vocabulary] of one computed token, -1 for the last."""
        pointer = lib.llama_get_logits_ith(self._handle, index)
        return np.ctypeslib.as_array(pointer, shape=(self._n_vocab,)).copy()

    def embedding(self, index: int) -> Floats:
        """A copy of the last layer's output [width] for one computed token, of a context for embeddings."""
        pointer = lib.llama_get_embeddings_ith(self._handle, index)
        return np.ctypeslib.as_array(pointer, shape=(self._n_embd,)).copy()


def _free_context(handle: Any, batch: Any, _model: Model) -> None:
    """Holding the model here keeps it alive until its context is gone, in whatever order Python collects them."""
    lib.llama_batch_free(batch)
    lib.llama_free(handle)


_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Grammar:
    """llama.cpp's grammar matcher: says which tokens may come next, and moves on with the one that was taken."""

    def __init__(self, model: Model, gbnf: str) -> None:
        handle = lib.llama_sampler_init_grammar(model.vocab, gbnf.encode(), b"root")
        if not handle:
            message = f"llama.cpp refused the grammar made from the schema: {_log.take()}"
            raise SchemaRefused(message)
        self._handle = handle
        self._model = model
        self.close = weakref.finalize(self, lib.llama_sampler_free, handle)

    def allowed(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Which of `tokens` may come next."""
        candidates = np.zeros(len(tokens), _CANDIDATE)
        candidates["id"] = tokens
        array = lib.llama_token_data_array(
            data=candidates.ctypes.data_as(lib.llama_token_data_p), size=len(tokens), selected=-1, sorted=False
        )
        lib.llama_sampler_apply(self._handle, ctypes.byref(array))
        result: npt.NDArray[np.bool_] = np.isfinite(candidates["logit"])
        return result

    def accept(self, token: int) -> None:
        """Moves on; only a token that `allowed` let pass may be given, C++ ends the process otherwise."""
        lib.llama_sampler_accept(self._handle, token)
