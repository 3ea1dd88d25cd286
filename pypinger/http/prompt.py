"""
Transports that send at once.

Twisted's own put what is written aside until the reactor's next turn. For a request that fits into the socket's buffer,
as nearly all do, that is two changes of what the reactor watches and one of its turns more: a fifth of the cost of a
check.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.interfaces import ITCPTransport, ITransport
from twisted.internet.tcp import Connection as TCPConnection


class _Prompt:
    """A TCP transport whose writes go out at once, for as long as nothing has had to wait."""

    __slots__ = ("_lagging", "_tcp")

    def __init__(self, tcp: TCPConnection) -> None:
        self._tcp = tcp
        self._lagging = False

    def write(self, data: bytes) -> None:
        """Send, and leave what does not go out at once, and all that follows it, to the reactor."""
        tcp = self._tcp
        if tcp.connected and not self._lagging:
            try:
                sent = tcp.socket.send(data)
            except OSError:
                # It takes nothing now, or it is lost: the reactor will find out which.
                sent = 0
            if sent == len(data):
                return
            self._lagging = True
            data = data[sent:]
        tcp.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tcp, name)


def prompt(transport: ITransport) -> ITCPTransport:
    """The transport, sending at once if it can; to be called before anything was written to it."""
    return cast(ITCPTransport, _Prompt(transport) if isinstance(transport, TCPConnection) else transport)
