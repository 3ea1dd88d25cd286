"""A proxy on a real socket that opens tunnels with ``CONNECT``, and answers other requests itself."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import ClientFactory, Factory, Protocol


class TunnelServer(Factory):
    """
    The proxy.

    :ivar requests: the head of each request.
    :ivar hosts: name -> address; others are looked up.
    :ivar answer: what it answers once the host is reached, or instead of that with `refuses`.
    :ivar together: whether the answer and the first that the host sends are one segment.
    :ivar open: how many connections to it are open.
    """

    noisy = False

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.hosts: dict[str, str] = {}
        self.answer = b"HTTP/1.1 200 Connection established\r\n\r\n"
        self.refuses = False
        self.together = False
        self.open = 0
        self.port = 0

    def listen(self) -> Any:
        """Listen on the loopback interface, and return the listening port."""
        listening = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.port = listening.getHost().port
        return listening

    def refuse(self, status: str) -> None:
        """Open no tunnel."""
        self.refuses, self.answer = True, f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()

    def hang(self) -> None:
        """Never answer."""
        self.refuses, self.answer = True, b""

    def buildProtocol(self, addr: object) -> Near:
        return Near(self)


class Near(Protocol):
    """The near end of a tunnel."""

    far: Far | None = None

    def __init__(self, server: TunnelServer) -> None:
        self.server = server

    def connectionMade(self) -> None:
        self.server.open += 1

    def dataReceived(self, data: bytes) -> None:
        if self.far is not None:
            self.far.transport.write(data)
            return
        if b" HTTP/1." not in data.partition(b"\r\n")[0]:
            return  # the body of a request
        self.server.requests.append(data)
        if not data.startswith(b"CONNECT "):
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            return
        if self.server.refuses:
            self.transport.write(self.server.answer)
            return
        host, port = data.split()[1].decode().rsplit(":", 1)
        factory = ClientFactory.forProtocol(lambda: Far(self))
        factory.noisy = False
        reactor.connectTCP(self.server.hosts.get(host, host), int(port), factory)

    def connectionLost(self, reason: object = None) -> None:
        self.server.open -= 1
        if self.far is not None:
            self.far.transport.loseConnection()


class Far(Protocol):
    """The far end of a tunnel."""

    def __init__(self, near: Near) -> None:
        self.near = near
        self.held = b""

    def connectionMade(self) -> None:
        self.near.far = self
        if self.near.server.together:
            self.held = self.near.server.answer
        else:
            self.near.transport.write(self.near.server.answer)

    def dataReceived(self, data: bytes) -> None:
        self.near.transport.write(self.held + data)
        self.held = b""

    def connectionLost(self, reason: object = None) -> None:
        self.near.transport.loseConnection()
