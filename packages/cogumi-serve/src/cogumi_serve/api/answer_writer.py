"""Turns the tokens of one job into the body of an HTTP answer, whole or as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from cogumi_core.api.errors import CogumiError
from cogumi_core.api.types import JSON, Token
from cogumi_serve.api.errors import from_error
from cogumi_serve.api.metrics import Metrics
from cogumi_serve.api.requests import ChatBody, CompletionBody
from cogumi_serve.api.responses import Envelope, event, token_logprob, tool_calls
from cogumi_serve.api.worker import Job
from cogumi_serve.system.routed import Reply, RoutedSystem


class AnswerWriter:
    """Writes one answer; `whole` or `chunks` is called once."""

    def __init__(self, system: RoutedSystem, job: Job, body: ChatBody | CompletionBody, metrics: Metrics) -> None:
        self._system, self._job, self._body, self._metrics = system, job, body, metrics
        self._calls_a_tool = isinstance(body, ChatBody) and body.calls_a_tool
        self._wants_logprobs = isinstance(body, ChatBody) and bool(body.logprobs)
        self._called = False
        self._said = ""
        fingerprint = f"fp_{system.manifest.digest.removeprefix('sha256:')[:12]}"
        kind = "chat.completion" if isinstance(body, ChatBody) else "text_completion"
        self._envelope = Envelope(kind, body.model, fingerprint)

    async def whole(self) -> dict[str, JSON]:
        tokens = [token async for token in self._job.tokens()]
        reply = await self._finished()
        entries = [entry for token in tokens for entry in self._logprobs(token)]
        return self._envelope.whole(
            "".join(token.text for token in tokens),
            reply.finish_reason,
            reply.usage,
            reply.receipt,
            logprobs={"content": entries, "refusal": None} if self._wants_logprobs else None,
            tools=self._calls_a_tool,
        )

    async def chunks(self, watcher: asyncio.Task[None]) -> AsyncIterator[bytes]:
        """Server-sent events; stops the job and the `watcher` when the stream ends, however it ends. An error after the first
        byte can only be told inside the stream."""
        ended = False
        try:
            async for chunk in self._chunks():
                yield event(chunk)
            ended = True
            yield event("[DONE]")
        except CogumiError as exc:
            ended = True
            yield event(from_error(exc).body())
        finally:
            if not ended and self._job.abandon():
                self._metrics.count("cogumi_cancelled_total")
            self._job.cancel()
            watcher.cancel()

    async def _chunks(self) -> AsyncIterator[dict[str, JSON]]:
        usage = {"usage": None} if self._body.include_usage else {}
        if self._envelope.is_chat:
            yield {**self._envelope.first_chunk(), **usage}
        async for chunk in self._call_chunks() if self._calls_a_tool else self._text_chunks():
            yield {**chunk, **usage}
        reply = await self._finished()
        finish = "tool_calls" if self._called else reply.finish_reason
        yield {**self._envelope.last_chunk(finish, reply.receipt), **usage}
        if self._body.include_usage:
            yield self._envelope.usage_chunk(reply.usage)

    async def _text_chunks(self) -> AsyncIterator[dict[str, JSON]]:
        async for token in self._job.tokens():
            entries = self._logprobs(token)
            if token.text or entries:
                yield self._envelope.text_chunk(token.text, {"content": entries, "refusal": None} if entries else None)

    async def _call_chunks(self) -> AsyncIterator[dict[str, JSON]]:
        """A call is sent when it is whole; a part of one is of no use to a client."""
        text = "".join([token.text async for token in self._job.tokens()])
        calls = tool_calls(text)
        self._called = calls is not None
        yield self._envelope.call_chunk(calls) if calls else self._envelope.text_chunk(text, None)

    def _logprobs(self, token: Token) -> list[JSON]:
        """The entry of one token; none for the end-of-turn token, which is no part of the text."""
        if not self._wants_logprobs:
            return []
        text = self._system.session.detokenize([token.id])
        self._said += text
        stopped_by_text = any(stop in self._said for stop in self._job.request.sampling.stop)
        if token.finish_reason == "stop" and not stopped_by_text:
            return []
        return [token_logprob(token, text)]

    async def _finished(self) -> Reply:
        reply = await self._job.begun()
        self._metrics.count("cogumi_tokens_total", reply.usage.prompt_tokens, kind="prompt")
        self._metrics.count("cogumi_tokens_total", reply.usage.completion_tokens, kind="completion")
        self._metrics.count("cogumi_tokens_total", reply.receipt.base_tokens, kind="routing")
        self._metrics.count("cogumi_requests_total", path=self._body.path, status=200)
        self._metrics.observe(reply.receipt.seconds.get("total", 0.0))
        return reply
