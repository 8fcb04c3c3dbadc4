"""Turns the tokens of one job into the body of an HTTP answer, whole or as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from cogumi_core import JSON, CogumiError, Token
from cogumi_serve.api.bodies import AnswerBody
from cogumi_serve.api.errors import from_error
from cogumi_serve.api.responses import Envelope, event, token_logprob, tool_calls
from cogumi_serve.api.service import Service
from cogumi_serve.api.worker import Job
from cogumi_serve.system.reply import Reply


class AnswerWriter:
    """Writes one answer; `whole` or `chunks` is called once."""

    def __init__(self, service: Service, job: Job, body: AnswerBody, envelope: Envelope) -> None:
        self._session, self._metrics = service.system.session, service.metrics
        self._job, self._body, self._envelope = job, body, envelope
        self._called = False
        self._said = ""

    async def whole(self) -> dict[str, JSON]:
        tokens = [token async for token in self._job.tokens()]
        reply = await self._finished()
        text = "".join(token.text for token in tokens)
        entries = [entry for token in tokens for entry in self._logprobs(token)]
        logprobs = {"content": entries, "refusal": None} if self._body.wants_logprobs else None
        calls = tool_calls(text) if self._body.calls_a_tool else None
        choice = self._envelope.choice(text, reply.finish_reason, logprobs, calls)
        return self._envelope.whole(choice, reply.usage, reply.receipt)

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
        for chunk in self._envelope.opening():
            yield {**chunk, **usage}
        async for chunk in self._call_chunks() if self._body.calls_a_tool else self._text_chunks():
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
                logprobs = {"content": entries, "refusal": None} if entries else None
                yield self._envelope.chunk(self._envelope.part(token.text), logprobs=logprobs)

    async def _call_chunks(self) -> AsyncIterator[dict[str, JSON]]:
        """A call is sent when it is whole; a part of one is of no use to a client."""
        text = "".join([token.text async for token in self._job.tokens()])
        calls = tool_calls(text)
        self._called = calls is not None
        yield self._envelope.chunk(self._envelope.call_part(calls) if calls else self._envelope.part(text))

    def _logprobs(self, token: Token) -> list[JSON]:
        """The entry of one token; none for the end-of-turn token, which is no part of the text."""
        if not self._body.wants_logprobs:
            return []
        text = self._session.detokenize([token.id])
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
