"""Fetching reports."""

from __future__ import annotations

from typing import Protocol

from pypinger.domain.model import Observation, Task


class Fetcher(Protocol):
    """Fetches reports over the network."""

    async def fetch(self, task: Task) -> Observation:
        """
        Make one exchange within ``task.timeout`` seconds.

        It does not raise for anything that an endpoint, a resolver or a certificate does. Cancelling the Deferred that
        runs it ends it early and closes its socket. A task can be fetched several times at once.

        The observation's ``contact`` is that of the host asked last, behind a forward proxy that of the proxy. It is
        ``silent`` if no connection was made and none was refused (a time-out up to then, ``EHOSTUNREACH``), if nothing
        came back on a kept connection, or if a proxy refused the connection or answered ``CONNECT`` with 502, 503 or
        504. It is None if no host was asked: the URL, the proxy setting or a certificate file cannot be used, or the
        limit of connections is reached.
        """
