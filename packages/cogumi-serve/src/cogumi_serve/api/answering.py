"""From a body that asks for an answer to the HTTP response: queue, cancelling, receipt headers, whole or as a stream."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from cogumi_core import CogumiError
from cogumi_serve.api.answer_writer import AnswerWriter
from cogumi_serve.api.bodies import AnswerBody
from cogumi_serve.api.errors import from_error
from cogumi_serve.api.metrics import Metrics
from cogumi_serve.api.responses import Envelope, headers_of
from cogumi_serve.api.service import Service
from cogumi_serve.api.worker import Job


async def respond(service: Service, request: Request, body: AnswerBody, envelope: Envelope) -> Response:
    """Raises ApiError and CogumiErrors before the first byte; later ones are told inside the stream."""
    job = Job(body.to_request(), body.model)
    service.system.require_model(body.model)
    service.worker.submit(job)
    watcher = asyncio.create_task(_cancel_when_gone(request, job, service.metrics))
    try:
        reply = await job.begun()
    except CogumiError as exc:
        watcher.cancel()
        raise from_error(exc, schema_param=body.schema_param) from exc
    except BaseException:
        watcher.cancel()
        job.cancel()
        raise
    service.metrics.count("cogumi_answers_total", route=reply.receipt.route)
    writer = AnswerWriter(service, job, body, envelope)
    headers = headers_of(reply.receipt)
    if body.stream:
        chunks = writer.chunks(watcher)
        return StreamingResponse(chunks, media_type="text/event-stream", headers={"cache-control": "no-cache", **headers})
    try:
        content = await writer.whole()
    finally:
        watcher.cancel()
    return JSONResponse(content, headers=headers)


async def _cancel_when_gone(request: Request, job: Job, metrics: Metrics) -> None:
    """The body is read, so the next message of the client can only be that it left."""
    with suppress(asyncio.CancelledError):
        while (await request.receive())["type"] != "http.disconnect":
            pass
        if job.abandon():
            metrics.count("cogumi_cancelled_total")
