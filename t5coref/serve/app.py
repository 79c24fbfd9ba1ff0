"""The web application: routes, statuses and headers, around a `Batcher`."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from t5coref.core.document import Document
from t5coref.core.errors import T5CorefError
from t5coref.corpora import jsonl
from t5coref.predict import ERROR, error_of, failed
from t5coref.serve import description, messages
from t5coref.serve.batcher import Batcher, ModelError, QueueFullError, StoppedError
from t5coref.serve.limits import Limits
from t5coref.serve.metrics import Metrics

GONE = 499
"""Status, in metrics alone, of requests whose client has gone: nobody reads it."""

WARM_UP_ADVICE = 5
"""Seconds after which to ask again whether the model is warm."""

JSON = "application/json"

T = TypeVar("T")


class Refusal(Exception):  # noqa: N818  # what clients do is no error of ours
    """A request that is answered with an error.

    Attributes:
      status: of the answer.
      headers: of the answer.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.headers = status, headers


class Service:
    """Answers requests.

    Args:
      batcher: predicts documents; started and stopped with the application.
      limits: of requests.
      language: of raw text, as spaCy names it.
      identity: what predictions depend on, shown to who asks.
    """

    def __init__(
        self, batcher: Batcher, *, limits: Limits, language: str, identity: Mapping[str, Any]
    ):
        self._batcher, self._limits, self._language = batcher, limits, language
        self._description = description.openapi(limits, identity)
        self._page = description.page(limits, identity)
        self._metrics = Metrics(batcher)
        batcher.listeners.append(self._metrics)
        # One thread reads and writes JSON and cuts raw text, so that the loop stays free.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="t5coref-read")

    def app(self) -> Starlette:
        """The application."""
        routes = [
            Route("/", self.page),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.openapi),
        ]
        paths = frozenset(route.path for route in routes)
        handlers: Any = {Refusal: _refused, HTTPException: _http_error, Exception: _broken}
        return Starlette(
            routes=routes,
            middleware=[Middleware(_Counted, metrics=self._metrics, paths=paths)],
            exception_handlers=handlers,
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        del app
        self._batcher.start()
        yield
        await asyncio.get_running_loop().run_in_executor(None, self._batcher.stop)
        self._reader.shutdown()

    async def predict(self, request: Request) -> Response:
        """POST /predict."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        # Pages of other sites can send forms and plain text without being asked, JSON not.
        if kind != JSON:
            raise Refusal(415, f"Content-Type is {kind!r}; expected {JSON}")
        if not (self._batcher.ready or self._batcher.stopping):
            message = "the model is warming up; ask GET /ready, and send the request again then"
            raise Refusal(503, message, {"Retry-After": str(WARM_UP_ADVICE)})
        try:
            return await self._predicted(request)
        except TimeoutError:
            raise Refusal(
                504,
                f"no answer within {self._limits.timeout:g} s; expected less work, or more time "
                "(--timeout); send fewer words, or send them later",
            ) from None
        except ClientDisconnect:
            return Response(status_code=GONE)
        except QueueFullError as error:
            raise Refusal(429, str(error), {"Retry-After": str(error.retry_after)}) from None
        except StoppedError as error:
            raise Refusal(503, str(error), {"Connection": "close"}) from None
        except messages.TooLargeError as error:
            raise Refusal(413, str(error)) from None
        except messages.NotJsonError as error:
            raise Refusal(400, str(error)) from None
        except T5CorefError as error:
            raise Refusal(422, str(error)) from None

    async def _predicted(self, request: Request) -> Response:
        deadline = asyncio.get_running_loop().time() + self._limits.timeout
        with self._batcher.entering() as entry:
            try:
                async with asyncio.timeout_at(deadline):
                    body = await self._body(request)
            except TimeoutError:
                message = f"the body has not come within {self._limits.timeout:g} s; expected all"
                raise Refusal(408, f"{message} of it; send it at once") from None
            async with asyncio.timeout_at(deadline):
                query = await self._aside(messages.read, body, self._limits, self._language)
                futures = await self._aside(entry.submit, query.documents)
                outcomes = await _outcomes(futures, request)
        found = [
            failed(document, outcome) if isinstance(outcome, ModelError) else outcome
            for document, outcome in zip(query.documents, outcomes, strict=True)
        ]
        content = await self._aside(_written, query, found)
        status = 200
        if any(error_of(document) is not None for document in found):
            status = 500 if any(isinstance(outcome, ModelError) for outcome in outcomes) else 422
        return Response(content, status, media_type=JSON)

    async def _body(self, request: Request) -> bytes:
        most = self._limits.max_bytes
        said = request.headers.get("content-length", "")
        body = bytearray()
        if not (said.isdecimal() and int(said) > most):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    break
            else:
                return bytes(body)
        raise messages.TooLargeError(
            f"the body has more than {most} bytes; expected fewer; send several requests, or cut "
            "the document"
        )

    async def _aside(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs a function in the reading thread."""
        call = functools.partial(function, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._reader, call)

    async def health(self, request: Request) -> Response:
        """GET /health: whether the process is alive and its model at work."""
        del request
        broken = self._batcher.failure is not None
        return _json_response({"alive": not broken}, 503 if broken else 200)

    async def ready(self, request: Request) -> Response:
        """GET /ready: whether documents are taken."""
        del request
        ready = self._batcher.ready
        return _json_response({"ready": ready}, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        """GET /metrics."""
        del request
        return Response(self._metrics.text(), media_type=self._metrics.media_type)

    async def openapi(self, request: Request) -> Response:
        """GET /openapi.json."""
        del request
        return _json_response(self._description)

    async def page(self, request: Request) -> Response:
        """GET /: what can be asked here, for people."""
        del request
        return HTMLResponse(self._page, headers={"Content-Security-Policy": description.POLICY})


async def _outcomes(
    futures: Sequence[Future[Document]], request: Request
) -> list[Document | ModelError]:
    """What came of the documents.

    Raises:
      ClientDisconnect: nobody waits for it any more.
    """
    everything = asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
    gone = asyncio.ensure_future(_gone(request))
    try:
        done, _ = await asyncio.wait((everything, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    if everything not in done:
        raise ClientDisconnect
    results: Any = everything.result()
    return results


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _written(query: messages.Query, found: Sequence[Document]) -> str:
    return jsonl.dump_line(messages.answer(query, found))


def _json_response(
    value: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(jsonl.dump_line(value), status, headers, JSON)


async def _refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Refusal)
    return _json_response({ERROR: str(error)}, error.status, error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    return _json_response(
        {ERROR: f"{where}: {error.detail}; expected what GET / describes"},
        error.status_code,
        error.headers,
    )


async def _broken(request: Request, error: Exception) -> Response:
    del request
    message = f"the server made a mistake ({type(error).__name__}); its log says more"
    return _json_response({ERROR: message}, 500)


class _Counted:
    """Counts requests by path and status, and their time."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]):
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-content-type-options", b"nosniff"))
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.answered(path, status, time.monotonic() - began)
