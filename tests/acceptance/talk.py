"""A blocking client that sends bytes as they are."""

from __future__ import annotations

import socket


def talk(port: int, sent: bytes, cuts: int = 0) -> bytes:
    """
    Send bytes, in so many pieces more than one, and return what comes back until the other side closes or is silent.
    """
    size = len(sent) // (cuts + 1) + 1
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            for start in range(0, len(sent), size):
                connection.sendall(sent[start : start + size])
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65_536):
                received += data
        except OSError:
            # It was reset, or was silent.
            pass
    return received
