"""The engine `llama-cpp`: GGUF models of the Llama kind, in process, with adapters swapped at run time.

What it promises beyond `cogumi_core.api.interfaces.Session`: an answer is bit-identical whether or not a prefix was reused and
whatever was asked before. llama.cpp keeps no record of which adapter computed a cached token, and the last bits of a result
depend on how many tokens are computed together. So the cache is cleared at every change of adapter, only prompts are reused,
and they are computed and cut in fixed blocks.

Left out: GPU offload, several answers at once (a context of llama.cpp computes one; `parallel` says so), images, models of
other architectures.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np

from cogumi_core import EngineError, GenerateRequest, InputError, Message, OpenOptions, Services, Token
from cogumi_core.formats.chat_template import ChatTemplate
from cogumi_core.formats.gguf.header import GgufHeader, read_header
from cogumi_serve.engines.errors import PromptTooLong
from cogumi_serve.engines.llama_cpp.adapters import AdapterShelf
from cogumi_serve.engines.llama_cpp.native import BLOCK, Context, Floats, Grammar, Model
from cogumi_serve.engines.llama_cpp.sampling import Sampler, check_sampling, log_softmax
from cogumi_serve.engines.llama_cpp.text_stream import TextStream
from cogumi_serve.engines.settings import LlamaCppSettings
from cogumi_serve.grammar.json_grammar import grammar_of

ARCHITECTURE: Final = "llama"


class LlamaCppEngine:
    """Opens GGUF files; its sessions share nothing."""

    def __init__(self, settings: LlamaCppSettings, services: Services) -> None:
        self._settings = settings

    def open(self, model: Path, options: OpenOptions) -> LlamaCppSession:
        """A session; `context_tokens` is lowered to what the model was trained for. Raises InputError, EngineError."""
        header = read_header(model)
        _check_model(model, header, vocab_only=options.vocab_only)
        native = Model(model, vocab_only=options.vocab_only, mmap=self._settings.mmap)
        session = LlamaCppSession(model, header, native, options, threads=self._settings.threads or usable_cores())
        try:
            for name, path in options.adapters.items():
                session.load_adapter(name, path)
        except BaseException:
            session.close()
            raise
        return session


class LlamaCppSession:
    """One model in memory. One answer is computed at a time; others wait. An iterator that is neither exhausted nor closed
    keeps the session."""

    parallel = 1

    def __init__(self, path: Path, header: GgufHeader, model: Model, options: OpenOptions, *, threads: int) -> None:
        self.context_tokens = min(options.context_tokens, model.n_ctx_train or options.context_tokens)
        self._path, self._header, self._model = path, header, model
        self._options, self._threads = options, threads
        self._adapters = AdapterShelf(path, ARCHITECTURE, model)
        self._lock = threading.Lock()
        self._context: Context | None = None
        self._active: str | None = None
        self._reusable: list[int] = []
        self._template: ChatTemplate | None = None
        self._closed = False

    def __enter__(self) -> LlamaCppSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # --- text ---

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        self._require_open()
        return self._model.tokenize(text, special=special)

    def detokenize(self, tokens: Sequence[int]) -> str:
        self._require_open()
        return b"".join(self._model.piece(token, special=True) for token in tokens).decode("utf-8", "replace")

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return len(self.prompt_tokens(GenerateRequest(tuple(messages))))

    def prompt_tokens(self, request: GenerateRequest) -> list[int]:
        """What `request` is to the model: its messages under the chat template, or its raw text. Raises EngineError."""
        self._require_open()
        if request.prompt is not None:
            return self._with_bos(self._model.tokenize(request.prompt, special=False))
        if self._template is None:
            self._template = self._load_template()
        return self._with_bos(self._template.tokens(request.messages, self._tokenize_part))

    # --- adapters ---

    def load_adapter(self, name: str, path: Path) -> None:
        with self._lock:
            self._require_open()
            self._adapters.load(name, path)
            # A context reserves its graph for the adapters that exist when it is made.
            self._drop_context()

    def unload_adapter(self, name: str) -> None:
        with self._lock:
            self._require_open()
            self._adapters.require(name)
            self._drop_context()
            self._adapters.unload(name)

    # --- answers ---

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        self._require_weights()
        check_sampling(request.sampling)
        if adapter is not None:
            self._adapters.require(adapter)
        prompt = self.prompt_tokens(request)
        if len(prompt) >= self.context_tokens:
            message = (
                f"the prompt has {len(prompt):,} tokens, the context holds {self.context_tokens:,} and the answer needs at "
                "least one; shorten the conversation or open the model with a larger context"
            )
            raise PromptTooLong(message)
        return self._answer(prompt, request, adapter, grammar_of(request.schema) if request.schema is not None else None)

    def _answer(self, prompt: list[int], request: GenerateRequest, adapter: str | None, gbnf: str | None) -> Iterator[Token]:
        with self._lock:
            self._require_open()
            context = self._prefilled(prompt, adapter)
            matcher = nullcontext() if gbnf is None else closing(Grammar(self._model, gbnf))
            with matcher as grammar:
                sampler = Sampler(request.sampling, grammar)
                text = TextStream(request.sampling.stop)
                limit = min(request.sampling.max_tokens, self.context_tokens - len(prompt))
                for position in range(len(prompt), len(prompt) + limit):
                    token = self._next(context, sampler, text, last=position == len(prompt) + limit - 1)
                    yield token
                    if token.finish_reason:
                        return
                    context.decode([token.id], position)

    def _next(self, context: Context, sampler: Sampler, text: TextStream, *, last: bool) -> Token:
        logprobs = log_softmax(context.logits())
        chosen, logprob = sampler.choose(logprobs)
        ended = self._model.is_end(chosen)
        shown = text.push(b"" if ended else self._model.piece(chosen), final=ended or last)
        reason = "stop" if ended or text.stopped else "length" if last else None
        return Token(chosen, shown, logprob, reason)

    def score(self, tokens: Sequence[int], adapter: str | None = None) -> Floats:
        self._require_weights()
        rows: Floats = np.empty((len(tokens), self._model.n_vocab), dtype=np.float32)
        with self._lock:
            self._require_open()
            handle = self._adapters.handle(adapter)
            self._check_length(tokens)
            with closing(Context(self._model, max(len(tokens), BLOCK), self._threads)) as context:
                context.set_adapter(handle)
                for start in range(0, len(tokens), BLOCK):
                    block = tokens[start : start + BLOCK]
                    context.decode(block, start, all_logits=True)
                    for index in range(len(block)):
                        rows[start + index] = log_softmax(context.logits(index))
        return rows

    def embed(self, texts: Sequence[str]) -> Floats:
        """Vectors [len(texts), width] of length 1: the mean of the last layer over the tokens of a text. Raises EngineError."""
        self._require_weights()
        if not self._options.embeddings:
            message = f"{self._path.name} was not opened to embed; open it with OpenOptions(embeddings=True)"
            raise EngineError(message)
        rows: Floats = np.empty((len(texts), self._model.n_embd), dtype=np.float32)
        for number, text in enumerate(texts):
            tokens = self._with_bos(self._model.tokenize(text, special=False))
            if not tokens:
                message = f"text {number} of {len(texts)} is empty, and nothing has no direction; leave it out"
                raise EngineError(message)
            with self._lock:
                self._require_open()
                self._check_length(tokens)
                rows[number] = self._embedding(tokens)
        return rows

    def _embedding(self, tokens: Sequence[int]) -> Floats:
        total = np.zeros(self._model.n_embd, dtype=np.float64)
        with closing(Context(self._model, max(len(tokens), BLOCK), self._threads, embeddings=True)) as context:
            for start in range(0, len(tokens), BLOCK):
                block = tokens[start : start + BLOCK]
                context.decode(block, start, all_logits=True)
                for index in range(len(block)):
                    total += context.embedding(index)
        direction: Floats = (total / np.linalg.norm(total)).astype(np.float32)
        return direction

    def close(self) -> None:
        """Frees the memory; waits for an answer that is being computed. May be called again."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._drop_context()
                self._adapters.unload_all()
                self._model.close()

    # --- inside ---

    def _tokenize_part(self, text: str, special: bool) -> list[int]:
        return self._model.tokenize(text, special=special)

    def _with_bos(self, tokens: list[int]) -> list[int]:
        needed = self._model.adds_bos and tokens[:1] != [self._model.bos]
        return [self._model.bos, *tokens] if needed else tokens

    def _load_template(self) -> ChatTemplate:
        specials = [token for token in range(self._model.n_vocab) if self._model.is_control(token)]
        return ChatTemplate(
            self._header.text("tokenizer.chat_template"),
            bos=self._special_text(self._model.bos),
            eos=self._special_text(self._model.eos),
            specials=[self._special_text(token) for token in specials],
        )

    def _special_text(self, token: int) -> str:
        return self._model.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def _prefilled(self, prompt: list[int], adapter: str | None) -> Context:
        """The context with `prompt` computed under `adapter`, ready to read the logits of its last token."""
        context = self._context or Context(self._model, self.context_tokens, self._threads)
        start = self._reusable_length(prompt, adapter) if self._context else 0
        # Until the work below is done, nothing in the cache may be trusted.
        self._context, self._reusable = context, []
        if adapter != self._active or start == 0:
            context.clear()
            context.set_adapter(self._adapters.handle(adapter))
            self._active = adapter
        else:
            context.keep(start)
        for position in range(start, len(prompt), BLOCK):
            context.decode(prompt[position : position + BLOCK], position)
        self._reusable = prompt[: len(prompt) // BLOCK * BLOCK]
        return context

    def _reusable_length(self, prompt: list[int], adapter: str | None) -> int:
        """Tokens at the start of the cache, in whole blocks, that are those of `prompt`; the last block is always computed."""
        if not self._options.reuse_prefix or adapter != self._active:
            return 0
        limit = min(len(self._reusable), (len(prompt) - 1) // BLOCK * BLOCK)
        for start in range(0, limit, BLOCK):
            if self._reusable[start : start + BLOCK] != prompt[start : start + BLOCK]:
                return start
        return limit

    def _drop_context(self) -> None:
        if self._context is not None:
            self._context.close()
        self._context, self._active, self._reusable = None, None, []

    def _check_length(self, tokens: Sequence[int]) -> None:
        if len(tokens) > max(self._model.n_ctx_train, self.context_tokens):
            message = (
                f"{len(tokens):,} tokens cannot be computed at once; the model was trained for {self._model.n_ctx_train:,}"
            )
            raise EngineError(message)
        if tokens and not 0 <= min(tokens) <= max(tokens) < self._model.n_vocab:
            message = f"token ids must lie between 0 and {self._model.n_vocab - 1:,}"
            raise EngineError(message)

    def _require_open(self) -> None:
        if self._closed:
            message = f"the session of {self._path.name} was closed"
            raise EngineError(message)

    def _require_weights(self) -> None:
        self._require_open()
        if self._options.vocab_only:
            message = f"{self._path.name} was opened with vocab_only; open it with its weights to compute with it"
            raise EngineError(message)


def usable_cores() -> int:
    """Cores this process may run on, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_model(path: Path, header: GgufHeader, *, vocab_only: bool) -> None:
    architecture = header.text("general.architecture")
    if header.text("general.type") == "adapter":
        message = f"{path}: an adapter, not a model; it is loaded on top of its base"
        raise InputError(message)
    if architecture != ARCHITECTURE:
        message = f"{path}: a model of the architecture '{architecture or 'unknown'}'; only '{ARCHITECTURE}' is supported"
        raise InputError(message)
    if int(header.metadata.get("split.count", 0)) > 1:
        message = f"{path}: one part of a model split into {header.metadata['split.count']} files; merge them into one"
        raise InputError(message)
    if not header.tensors and not vocab_only:
        message = f"{path}: holds a vocabulary only, no weights"
        raise InputError(message)
