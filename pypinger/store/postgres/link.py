"""
A connection that one thread uses, and that another one can break off.

Note [Long answers]
~~~~~~~~~~~~~~~~~~~
libpq reads 16 kB at a time until a longer message comes, and keeps a buffer that has grown. After each read the thread
waits for the interpreter, half a millisecond or more while the reactor is busy. The rows of 5,000 tasks are six
megabytes, and would take 0.2 s instead of 0.03. So the first answer over each connection is a long one.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from threading import Lock

import psycopg

from pypinger.store.postgres.connection import connect

#: How many bytes of an answer are read at once at least, as far as they have come.
BUFFER = 262_144


class Link:
    """
    Connects when it is used, and anew after an error.

    :param name: what the server shows of the session.
    """

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self._name = name
        self._connection: psycopg.Connection | None = None
        self._socket: socket.socket | None = None
        self._lock = Lock()

    def connection(self) -> psycopg.Connection:
        """
        The open connection, in autocommit mode.

        :raises psycopg.Error: the server cannot be reached.
        :raises StoreError: the server does not fit.
        """
        if self._connection is not None and self._connection.closed:
            self.drop()
        if self._connection is None:
            made = connect(self.url, self._name)
            with self._lock:
                # Of its own, because libpq closes the connection's in this thread at any time.
                self._socket = socket.socket(fileno=os.dup(made.fileno()))
                self._connection = made
            # See Note [Long answers]; here, because another thread can break it off by now.
            made.execute(f"SELECT repeat(' ', {BUFFER})".encode())
        return self._connection

    def drop(self) -> None:
        """Close the connection."""
        with self._lock:
            connection, self._connection = self._connection, None
            if self._socket is not None:
                self._socket.close()
                self._socket = None
        if connection is not None:
            connection.close()

    def abort(self) -> None:
        """Make what waits for the server fail at once; for other threads."""
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
