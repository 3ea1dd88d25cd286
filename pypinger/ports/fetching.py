"""Fetching reports."""

from __future__ import annotations

from typing import Protocol

from pypinger.domain.model import Observation, Task


class Fetcher(Protocol):
    """Gets a task's report over the network."""

    async def fetch(self, task: Task) -> Observation:
        """
        Make one exchange within ``task.timeout`` seconds.

        It never raises for anything an endpoint, a resolver or a certificate does; only cancelling the Deferred that
        runs it ends it early, and then its socket is closed too.
        """
