"""
A server that misbehaves by script, over raw sockets on loopback.

A script is a list of steps, run when a request has arrived, or at once if it begins with ``AT_ONCE``: bytes to send, or
one of the steps below. The server counts its open connections, so that a test can wait until none is left.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater


@dataclass(frozen=True)
class Wait:
    """Do nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Trickle:
    """Send bytes one by one, over and over."""

    data: bytes
    every: float = 0.01


@dataclass(frozen=True)
class Flood:
    """Send the same bytes at most `times`, as fast as the client reads."""

    data: bytes
    times: int = 10_000


class Step:
    """A step without parameters."""


CLOSE, RESET, STALL, AT_ONCE = Step(), Step(), Step(), Step()

#: Steps, or a function that returns them for a request.
Script = Sequence[Any] | Callable[[bytes], Sequence[Any]]


class Scripted(Protocol):
    """One connection."""

    factory: FaultServer

    def connectionMade(self) -> None:
        self.factory.open.add(self)
        self.factory.connections += 1
        self.received = b""
        self.running = False
        self.lost = False
        script = self.factory.script
        if not callable(script) and script and script[0] is AT_ONCE:
            self.run(script[1:])

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if b"\r\n\r\n" in self.received and not self.running:
            self.factory.requests.append(self.received)
            self.received = b""
            script = self.factory.script
            self.run(script(self.factory.requests[-1]) if callable(script) else script)

    def connectionLost(self, reason: object = None) -> None:
        self.lost = True
        self.factory.open.discard(self)
        if not self.factory.open:
            waiting, self.factory.waiting = self.factory.waiting, []
            for waiter in waiting:
                waiter.callback(None)

    def run(self, script: Sequence[Any]) -> None:
        self.running = True
        self.factory.running.append(Deferred.fromCoroutine(self._run(script)))

    async def _run(self, script: Sequence[Any]) -> None:
        for step in script:
            if self.lost:
                return
            if isinstance(step, bytes):
                self.transport.write(step.replace(b"PORT", str(self.factory.port).encode()))
            elif isinstance(step, Wait):
                await deferLater(reactor, step.seconds)
            elif isinstance(step, Trickle):
                while not self.lost:
                    for byte in step.data:
                        if not self.lost:
                            self.transport.write(bytes([byte]))
                            await deferLater(reactor, step.every)
            elif isinstance(step, Flood):
                for _ in range(step.times):
                    if self.lost:
                        return
                    self.transport.write(step.data)
                    await deferLater(reactor, 0)
            elif step is CLOSE:
                self.transport.loseConnection()
            elif step is RESET:
                # What was written before must be sent first.
                await deferLater(reactor, 0.02)
                if not self.lost:
                    handle = self.transport.getHandle()
                    if isinstance(handle, socket.socket):
                        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.transport.abortConnection()
        self.running = False


@dataclass
class FaultServer(Factory):
    """Runs one script for every request on every connection."""

    script: Script
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    open: set[Scripted] = field(default_factory=set)
    waiting: list[Deferred[None]] = field(default_factory=list)
    running: list[Deferred[None]] = field(default_factory=list)

    protocol = Scripted
    noisy = False

    __hash__ = object.__hash__

    def listen(self, context: Any = None, interface: str = "127.0.0.1") -> Any:
        """Listen on a free port, with TLS if there is a context."""
        if context is None:
            listening = reactor.listenTCP(0, self, interface=interface)
        else:
            listening = reactor.listenSSL(0, self, context, interface=interface)
        self.port = listening.getHost().port
        return listening

    async def all_closed(self) -> None:
        """Wait until no connection is open and no script runs."""
        if self.open:
            waiter: Deferred[None] = Deferred()
            self.waiting.append(waiter)
            await waiter
        await gatherResults(self.running)


@contextmanager
def full_backlog() -> Iterator[int]:
    """Yield a port whose accept queue is full: connecting hangs."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
