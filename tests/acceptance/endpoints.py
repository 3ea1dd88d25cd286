"""
Fake task endpoints in the reactor of the test.

Each path has a behaviour, which a test may replace at any time. A behaviour is a function that answers a request, or
does not; :func:`report` and the other functions here create them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase


class Request:
    """
    A request as received.

    :ivar headers: names in lower case.
    """

    def __init__(self, connection: Connection, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.path = self.target.partition("?")[0]
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = body
        self.connection = connection
        self.at = time.time()

    @property
    def dump(self) -> str:
        """The target and all headers, as a debug page would show them."""
        return "; ".join([self.target, *(f"{name}: {value}" for name, value in self.headers.items())])

    def answer(self, code: int, body: bytes | str = b"", **headers: str) -> None:
        """Answer and keep the connection open. Underscores in header names stand for hyphens."""
        content = body if isinstance(body, bytes) else body.encode()
        lines = [f"HTTP/1.1 {code} Whatever", f"Content-Length: {len(content)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.write("\r\n".join([*lines, "", ""]).encode("latin-1") + content)

    def write(self, raw: bytes) -> None:
        self.connection.transport.write(raw)

    def close(self) -> None:
        self.connection.transport.loseConnection()

    def reset(self) -> None:
        self.connection.transport.abortConnection()


Behaviour: TypeAlias = Callable[[Request], object]


class Connection(Protocol):
    """Reads requests one after another."""

    factory: Server

    def __init__(self) -> None:
        self._buffer = b""

    def connectionMade(self) -> None:
        self.factory.connections.add(self)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self.factory.serve(Request(self, head, rest[:length]))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.connections.discard(self)


class Server(Factory):
    """
    A raw HTTP server on the loopback interface, stopped when the test ends.

    :ivar requests: all requests received.
    :ivar connections: the open connections.
    """

    protocol = Connection
    noisy = False

    def __init__(
        self,
        test: TestCase,
        tls: IOpenSSLContextFactory | None = None,
        interface: str = "127.0.0.1",
        backlog: int = 50,
    ) -> None:
        self.interface = interface
        self.backlog = backlog
        self.requests: list[Request] = []
        self.connections: set[Connection] = set()
        if tls is None:
            port = reactor.listenTCP(0, self, backlog, interface)
        else:
            port = reactor.listenSSL(0, self, tls, interface="127.0.0.1")
        self.scheme = "http" if tls is None else "https"
        self.port = port.getHost().port
        self._listening: IListeningPort | None = port
        test.addCleanup(self._stop)
        test.addCleanup(self._stop_listening)

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.interface}:{self.port}"

    def serve(self, request: Request) -> None:
        self.requests.append(request)
        self.respond(request)

    def respond(self, request: Request) -> None:
        raise NotImplementedError

    async def die(self) -> None:
        """Stop listening and drop the open connections."""
        await self._stop_listening()
        self._stop()

    def live_again(self) -> None:
        """Listen on the same port again, without TLS."""
        self._listening = reactor.listenTCP(self.port, self, self.backlog, self.interface)

    def _stop_listening(self) -> Deferred[None]:
        listening, self._listening = self._listening, None
        return succeed(None) if listening is None else maybeDeferred(listening.stopListening)

    def _stop(self) -> None:
        for connection in list(self.connections):
            connection.transport.abortConnection()


class Endpoints(Server):
    """Task endpoints: path → behaviour."""

    def __init__(
        self,
        test: TestCase,
        tls: IOpenSSLContextFactory | None = None,
        interface: str = "127.0.0.1",
        backlog: int = 50,
    ) -> None:
        super().__init__(test, tls, interface, backlog)
        self.paths: dict[str, Behaviour] = {}

    def url(self, path: str, behaviour: Behaviour | None = None) -> str:
        """The URL of a path. `behaviour` replaces the path's behaviour."""
        if behaviour is not None:
            self.paths[path.partition("?")[0]] = behaviour
        return f"{self.origin}{path}"

    def respond(self, request: Request) -> None:
        behaviour = self.paths.get(request.path)
        if behaviour is None:
            request.answer(404, "<h1>Not Found</h1>")
        else:
            behaviour(request)

    def bodies(self) -> bytes:
        return b"\n".join(request.body for request in self.requests)

    def asked(self, path: str) -> list[Request]:
        """The requests received for a path."""
        return [request for request in self.requests if request.path == path]


# Reports


def stamp(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat()


def members(*, ago: float = 60.0, status: str = "ok", **more: object) -> dict[str, Any]:
    """
    The members of a report.

    :param ago: seconds since the task ran last.
    """
    return {"status": status, "lastrun": stamp(time.time() - ago), **more}


def asleep() -> list[dict[str, object]]:
    """Sleep windows that include now."""
    return [{"start": datetime.fromtimestamp(time.time() - 1800, UTC).strftime("%H:%M"), "duration": 60}]


# Behaviours


def report(*, code: int = 200, ago: float = 60.0, status: str = "ok", **more: object) -> Behaviour:
    """A report that is `ago` seconds old at each request."""
    return lambda request: request.answer(code, json.dumps(members(ago=ago, status=status, **more)))


def body(content: bytes | str, code: int = 200, **headers: str) -> Behaviour:
    return lambda request: request.answer(code, content, **headers)


def redirect(target: str, code: int = 302) -> Behaviour:
    return lambda request: request.answer(code, Location=target)


def raw(*pieces: bytes, close: bool = True) -> Behaviour:
    """Send these bytes, HTTP or not."""

    def behave(request: Request) -> None:
        for piece in pieces:
            request.write(piece)
        if close:
            request.close()

    return behave


def hang(request: Request) -> None:
    """Send nothing and keep the connection open."""


def reset(request: Request) -> None:
    request.reset()
