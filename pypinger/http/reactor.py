"""What the client needs of a reactor."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorFromThreads, IReactorTCP, IReactorTime


class IPollingReactor(IReactorTCP, IReactorTime, IReactorFromThreads):
    """Connects, tells the time, and takes results from threads."""
