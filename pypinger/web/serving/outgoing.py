"""
Sending answers to clients that may not read them.

Note [Long answers]
~~~~~~~~~~~~~~~~~~~
A transport copies what it is given. A megabyte for each of a thousand clients that do not read would take a gigabyte.
So a connection gives its transport one :data:`PIECE` at a time, and clients that get the same answer share it. What
waits for all clients together is limited to :data:`BACKLOG`: beyond it those that have not taken a piece for the
longest time are dropped. The request ends when its last piece is with the transport, so that no pipelined request
begins before; and nothing is read from the client meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

#: Bytes of an answer given to the transport at a time; see Note [Long answers].
PIECE = 32_768

#: Bytes of answers that wait for all clients together; an answer that several clients get counts once.
BACKLOG = 33_554_432


class Backlog:
    """What waits for all clients; see Note [Long answers]."""

    def __init__(self) -> None:
        self._size = 0
        # How many clients wait for each answer.
        self._clients: dict[int, int] = {}
        # In the order of the pieces they took last.
        self._waiting: dict[Outgoing, None] = {}

    def hold(self, outgoing: Outgoing, data: bytes) -> None:
        """Count an answer, and drop other clients if it is too much."""
        clients = self._clients[id(data)] = self._clients.get(id(data), 0) + 1
        self._size += len(data) if clients == 1 else 0
        self.note_use(outgoing)
        while self._size > BACKLOG and (oldest := next(iter(self._waiting))) is not outgoing:
            oldest.abort()

    def note_use(self, outgoing: Outgoing) -> None:
        """Note that the client has just taken a piece."""
        self._waiting.pop(outgoing, None)
        self._waiting[outgoing] = None

    def release(self, outgoing: Outgoing, data: Iterable[bytes], *, last: bool) -> None:
        """Stop counting answers, which may be the `last` that this client waits for."""
        for each in data:
            self._clients[id(each)] -= 1
            if not self._clients[id(each)]:
                del self._clients[id(each)]
                self._size -= len(each)
        if last:
            self._waiting.pop(outgoing, None)


@implementer(IPullProducer)
class Outgoing:
    """
    What is to be sent to one client; see Note [Long answers].

    :param backlog: counts what waits.
    :param drained: called whenever all of it is with the transport.
    """

    def __init__(self, transport: Any, backlog: Backlog, drained: Callable[[], None]) -> None:
        self._transport = transport
        self._backlog = backlog
        self._drained = drained
        self._data: list[bytes] = []
        self._sent = 0

    @property
    def waiting(self) -> int:
        """Bytes that the transport does not have yet."""
        return sum(map(len, self._data)) - self._sent

    def write(self, data: bytes) -> None:
        """Send `data` after what waits."""
        if not self._data and len(data) <= PIECE:
            self._transport.write(data)
            return
        first = not self._data
        self._data.append(data)
        self._backlog.hold(self, data)
        if first:
            self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """The transport has sent the piece before."""
        if not self._data:
            return
        first = self._data[0]
        piece = first[self._sent : self._sent + PIECE]
        self._sent += PIECE
        self._backlog.note_use(self)
        if self._sent >= len(first):
            self._backlog.release(self, [self._data.pop(0)], last=not self._data)
            self._sent = 0
        self._transport.write(piece)
        if not self._data:
            self._transport.unregisterProducer()
            self._drained()

    def stopProducing(self) -> None:
        """The connection is lost."""
        self.clear()

    def clear(self) -> None:
        """Send no more."""
        data, self._data, self._sent = self._data, [], 0
        self._backlog.release(self, data, last=True)

    def abort(self) -> None:
        """Close the connection at once."""
        self.clear()
        self._transport.abortConnection()
