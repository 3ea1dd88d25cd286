"""
Names to addresses, so that a slow resolver stalls nobody but those who need its answer.

Look-ups run in threads of their own: daemon threads that live only while there is something to look up, so that
neither the reactor's pool nor a stop ever waits for them. Checks of one host share one look-up and, for a short time,
its answer; failures are not kept.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pypinger.domain.model import Fault, Seconds
from pypinger.http.deadline import Deadline
from pypinger.http.errors import ExchangeFailed, lookup_failed
from pypinger.http.reactor import IPollingReactor

#: Seconds for which an answer is used.
KEPT_FOR: Seconds = 30.0

#: How many names are looked up at once. A name that no server answers for occupies a thread for up to a minute.
MOST_THREADS = 64

#: How many addresses of a name are tried.
MOST_ADDRESSES = 8


def look_up(host: str) -> list[str]:
    """
    Ask the system; blocks.

    :returns: the addresses in the order in which the system would try them.
    """
    found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    addresses: dict[str, None] = {}
    for family, _, _, _, address in found:
        if family in (socket.AF_INET, socket.AF_INET6):
            addresses[str(address[0])] = None
    return list(addresses)[:MOST_ADDRESSES]


class Names:
    """
    Looks names up.

    :param look_up: the blocking question, asked in a thread.
    :param start: starts a daemon thread.
    """

    def __init__(
        self,
        reactor: IPollingReactor,
        *,
        look_up: Callable[[str], list[str]] = look_up,
        start: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._look_up = look_up
        self._start = _start if start is None else start
        self._known: dict[str, tuple[Seconds, Sequence[str]]] = {}
        self._waiting: dict[str, list[Deferred[Sequence[str]]]] = {}
        self._queue: deque[str] = deque()
        self._threads = 0

    async def addresses(self, host: str, deadline: Deadline) -> Sequence[str]:
        """
        The addresses of a host, at least one.

        :raises ExchangeFailed: there are none.
        """
        known = self._known.get(host)
        if known is not None:
            until, addresses = known
            if self._reactor.seconds() < until:
                return addresses
            del self._known[host]
        deadline.stage = f"looking up {host}"
        waiter: Deferred[Sequence[str]] = Deferred(self._give_up)
        deadline.waiting = waiter
        if host in self._waiting:
            self._waiting[host].append(waiter)
        else:
            self._waiting[host] = [waiter]
            self._ask(host)
        return await waiter

    def forget(self, host: str) -> None:
        """Its addresses do not answer: ask again next time."""
        self._known.pop(host, None)

    def _ask(self, host: str) -> None:
        self._queue.append(host)
        if self._threads >= MOST_THREADS:
            return
        self._threads += 1
        try:
            self._start(self._run)
        except (RuntimeError, MemoryError):
            self._threads -= 1
            if self._threads == 0:
                words = "this machine cannot start a thread to look up names"
                self._settle(self._queue.pop(), Failure(ExchangeFailed(Fault.OWN, words)))

    def _run(self) -> None:
        """What a thread does: look up names until there are no more. Deques may be used from any thread."""
        call = self._reactor.callFromThread
        while True:
            try:
                host = self._queue.popleft()
            except IndexError:
                call(self._ended)
                return
            result: Any
            try:
                result = self._look_up(host)
            except Exception as error:
                result = Failure(lookup_failed(error, host))
            call(self._settle, host, result)

    def _ended(self) -> None:
        self._threads -= 1
        if self._queue:
            # A name was queued between the thread's last look and its end.
            self._ask(self._queue.popleft())

    def _settle(self, host: str, result: Sequence[str] | Failure) -> None:
        if not isinstance(result, Failure):
            if result:
                self._remember(host, result)
            else:
                result = Failure(ExchangeFailed(Fault.DNS, f"cannot look up {host}: it has no address"))
        for waiter in self._waiting.pop(host, ()):
            if not waiter.called:
                waiter.callback(result)

    def _remember(self, host: str, addresses: Sequence[str]) -> None:
        now = self._reactor.seconds()
        while self._known:
            # All are kept equally long, so the oldest come first.
            oldest = next(iter(self._known))
            if self._known[oldest][0] > now:
                break
            del self._known[oldest]
        self._known.pop(host, None)
        self._known[host] = (now + KEPT_FOR, addresses)

    def _give_up(self, waiter: Deferred[Sequence[str]]) -> None:
        # The look-up goes on: it cannot be stopped, and its answer may serve the next check.
        for waiters in self._waiting.values():
            if waiter in waiters:
                waiters.remove(waiter)
                return


def _start(run: Callable[[], None]) -> None:
    Thread(target=run, name="pypinger-names", daemon=True).start()
