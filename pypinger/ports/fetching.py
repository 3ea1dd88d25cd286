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
        """
