"""From a system folder to a listening server: the address first, then the keys, then the model."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any, Final

import uvicorn

from cogumi_core import ComponentSource, UsageError
from cogumi_serve.api.app import create_app
from cogumi_serve.api.errors import PortUnavailable
from cogumi_serve.api.keys import KeyRing
from cogumi_serve.system.routed import RoutedSystem

GRACE: Final = 3
"""Seconds that open connections get when the server stops."""


class Server:
    """A socket that is taken, and later the system behind it."""

    def __init__(self, listener: socket.socket, keys: KeyRing) -> None:
        self._listener, self._keys = listener, keys
        self._system: RoutedSystem | None = None
        self._uvicorn: uvicorn.Server | None = None

    @classmethod
    def bind(cls, host: str, port: int, keys: Path | None) -> Server:
        """Takes the address before anything slow is loaded. Raises UsageError, InputError, PortUnavailable."""
        if keys is None and not _is_loopback(host):
            message = f"{host} can be reached from other machines: add --keys FILE with one API key per line, or use 127.0.0.1"
            raise UsageError(message)
        ring = KeyRing() if keys is None else KeyRing.read(keys)
        return cls(_listen(host, port), ring)

    def load(self, path: Path, registry: ComponentSource, *, queue: int, **options: Any) -> None:
        """Loads the system with `options` of `RoutedSystem.open`; the socket is given back if that fails."""
        try:
            self._system = RoutedSystem.open(path, registry, **options)
        except BaseException:
            self._listener.close()
            raise
        app = create_app(self._system, keys=self._keys, queue=queue)
        # No access log: paths and addresses of callers are nobody's business by default, and prompts are never logged.
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE)
        self._uvicorn = uvicorn.Server(config)

    @property
    def name(self) -> str:
        return self._loaded.manifest.name

    @property
    def models(self) -> tuple[str, ...]:
        return self._loaded.models

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self) -> None:
        """Serves until the process is told to stop."""
        system = self._loaded
        assert self._uvicorn is not None
        try:
            self._uvicorn.run(sockets=[self._listener])
        except KeyboardInterrupt:
            # uvicorn has stopped in order and raises the signal again; stopping is what was asked for.
            pass
        finally:
            self._listener.close()
            system.close()

    def stop(self) -> None:
        """Ends `run` from another thread."""
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True

    @property
    def _loaded(self) -> RoutedSystem:
        if self._system is None:
            message = "load a system before serving"
            raise UsageError(message)
        return self._system


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as exc:
        message = f"cannot listen at {host}: {exc.strerror or exc}"
        raise PortUnavailable(message) from exc
    try:
        # A port in TIME_WAIT after a restart may be taken again; one that somebody listens at may not.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as exc:
        listener.close()
        message = f"cannot listen at {host}:{port}: {exc.strerror}; stop what uses it, or choose another with --port"
        raise PortUnavailable(message) from exc
    return listener
