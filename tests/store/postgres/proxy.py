"""A TCP proxy in a thread, whose connections a test can cut, freeze and refuse."""

from __future__ import annotations

import select
import socket
from threading import Thread


class Proxy:
    """
    Forwards to a port on 127.0.0.1.

    :ivar frozen: whether it forwards nothing, as a network that drops packets.
    :ivar refusing: whether new connections are closed at once.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.frozen = False
        self.refusing = False
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._stalled: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._stopped = False
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Close all connections."""
        for each in list(self._pairs):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stall(self) -> None:
        """Stop forwarding on the present connections."""
        self._stalled |= self._pairs.keys()

    def stop(self) -> None:
        self._stopped = True
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stopped:
            watched = [self._server] if self.frozen else [self._server, *(self._pairs.keys() - self._stalled)]
            ready, _, _ = select.select(watched, [], [], 0.02)
            for each in ready:
                if each is self._server:
                    self._accept()
                elif each in self._pairs:
                    self._forward(each)
        for each in [*self._pairs, self._server]:
            each.close()

    def _accept(self) -> None:
        client, _ = self._server.accept()
        if self.refusing:
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            client.close()
            return
        self._pairs[client], self._pairs[server] = server, client

    def _forward(self, source: socket.socket) -> None:
        target = self._pairs[source]
        try:
            data = source.recv(1 << 16)
            if data:
                target.sendall(data)
                return
        except OSError:
            pass
        for each in (source, target):
            self._pairs.pop(each, None)
            each.close()
