"""
The heartbeat (contract, section 6, ``[heartbeat]``): a GET while Py Pinger works, to a service that alerts without it.

Nothing on this machine can report that the machine is gone. So the heartbeat also pauses while Py Pinger runs but does
not do its work: checks are stuck, or no configured channel works.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pypinger.domain.model import Seconds
from pypinger.ports.notifying import HttpClient, RequestFailed

#: Seconds until the first request, at most one interval: a daemon that crashes at each start sends none.
FIRST: Seconds = 10.0

#: Seconds that a request may take, at most one interval.
TIMEOUT: Seconds = 20.0


class Heartbeat:
    """
    Sends the heartbeat; it is off until :meth:`configure` gives it a URL.

    :param stuck: returns why checks make no progress, or None.
    :param healthy: whether alerts reach people: no channel is configured, or at least one works.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, stuck: Callable[[], str | None], healthy: Callable[[], bool]) -> None:
        self._reactor = reactor
        self._stuck = stuck
        self._healthy = healthy
        self._url = ""
        self._interval: Seconds = 0.0
        self._client: HttpClient | None = None
        self._started = False
        self._first: IDelayedCall | None = None
        self._loop: LoopingCall | None = None
        self._sending: Deferred[None] | None = None
        self._trouble = ""

    def configure(self, url: str, interval: Seconds, client: HttpClient) -> None:
        """
        Use other settings.

        :param url: empty: off.
        :param interval: seconds between two requests.
        """
        self._client = client
        if (url, interval) == (self._url, self._interval):
            return
        self._url, self._interval, self._trouble = url, interval, ""
        self._halt()
        self._begin()

    def start(self) -> None:
        """Begin to send."""
        self._started = True
        self._begin()

    def stop(self) -> None:
        """Send no more, and cancel the request under way."""
        self._started = False
        self._halt()

    def _begin(self) -> None:
        if self._started and self._url:
            self._first = self._reactor.callLater(min(FIRST, self._interval), self._start_loop)

    def _start_loop(self) -> None:
        self._first = None
        self._loop = LoopingCall(self._beat)
        self._loop.clock = self._reactor
        self._loop.start(self._interval)

    def _halt(self) -> None:
        if self._first is not None:
            self._first.cancel()
            self._first = None
        if self._loop is not None:
            self._loop.stop()
            self._loop = None
        if self._sending is not None:
            self._sending.cancel()

    def _beat(self) -> Deferred[None] | None:
        try:
            words = self._stuck() or ("" if self._healthy() else "no channel works")
        except Exception:
            self._log.failure("unexpected error before a heartbeat")
            return None
        if words:
            self._note(f"the heartbeat pauses: {words}")
            return None
        self._sending = sending = Deferred.fromCoroutine(self._send())
        return sending.addBoth(self._sent)

    async def _send(self) -> None:
        assert self._client is not None
        try:
            reply = await self._client.get(self._url, timeout=min(TIMEOUT, self._interval))
        except CancelledError:
            return
        except RequestFailed as failed:
            self._note(f"the heartbeat failed: {failed}")
        except Exception:
            self._log.failure("unexpected error while sending a heartbeat")
        else:
            good = 200 <= reply.code < 300
            self._note("" if good else f"the heartbeat failed: the service answered {reply.code}")

    def _sent(self, _: object) -> None:
        self._sending = None

    def _note(self, words: str) -> None:
        """Log the first failure of an outage, and its end."""
        if words and not self._trouble:
            self._log.warn("{words}", words=words)
        elif self._trouble and not words:
            self._log.info("the heartbeat is sent again")
        self._trouble = words
