"""Runs the application until it is told to stop, and then finishes what it has taken.

By uvicorn: one process, one loop, HTTP/1.1 by h11, which is strict about what it reads.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable

import uvicorn

from t5coref.core.errors import ConfigError
from t5coref.serve.app import Service
from t5coref.serve.batcher import Batcher

KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than proxies keep theirs (60 s are usual), so
that none of them sends a request into a connection that is being closed."""


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address, which does not listen yet; port 0 = any free one.

    Raises:
      ConfigError: it cannot be had.
    """
    try:
        if not 0 <= port < 1 << 16:  # the resolver would take its last 16 bits
            raise OSError("ports are numbers from 0 to 65535")
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with contextlib.ExitStack() as stack:
            bound = stack.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            stack.pop_all()
        return bound
    except OSError as error:
        raise ConfigError(
            f"--host {host} --port {port}: {error}; expected an address of this machine and a free "
            "port; --port 0 takes any"
        ) from None


def url(bound: socket.socket) -> str:
    """Where a socket can be reached."""
    host, port, *_ = bound.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    service: Service, batcher: Batcher, bound: socket.socket, *, started: Callable[[], None]
) -> None:
    """Serves until SIGTERM or SIGINT; a second SIGINT does not wait for what was taken.

    Args:
      service: answers requests.
      batcher: its batcher; if that breaks down, the server stops.
      bound: where to listen.
      started: called when the socket listens.

    Raises:
      ModelError: the model broke down for good.
      KeyboardInterrupt: SIGINT came a second time.
    """
    config = uvicorn.Config(
        service.app(),
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
    )
    server = _Server(config, started)

    def stop() -> None:
        server.should_exit = True

    batcher.on_failure = stop
    # uvicorn raises the signals that have stopped it once more when it has ended.
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    try:
        server.run([bound])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if server.force_exit:
        raise KeyboardInterrupt
    if batcher.failure is not None:
        raise batcher.failure


SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]):
        super().__init__(config)
        self._when_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_started()
