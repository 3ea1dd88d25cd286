"""The interfaces of a reactor that the client needs."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorFromThreads, IReactorTCP, IReactorTime


class IPollingReactor(IReactorTCP, IReactorTime, IReactorFromThreads):
    """Connects, schedules calls, and takes results from threads."""
