"""
Names to addresses, without holding up anything else.

Look-ups run in daemon threads of their own, which live only while there are names to look up: neither the reactor's
thread pool nor a stop of the process waits for them. Exchanges with one host share a look-up and, for a short time, its
result. Failures are not kept.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from pypinger.domain.model import Contact, Fault, Seconds
from pypinger.http.wire.errors import ExchangeCancelled, ExchangeFailed, lookup_failed
from pypinger.http.wire.reactor import IPollingReactor

#: Seconds for which the addresses of a name are used.
KEPT_FOR: Seconds = 30.0

#: Look-ups at once. A name that no server answers for occupies a thread for up to a minute.
MAX_THREADS = 64

#: Addresses tried for a name.
MAX_ADDRESSES = 8


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
    return list(addresses)[:MAX_ADDRESSES]


class Names:
    """
    Looks names up.

    :param look_up: blocks until it has the addresses; called in a thread.
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

    def addresses(self, host: str) -> Deferred[Sequence[str]]:
        """
        Find the addresses of a host.

        :returns: a Deferred of at least one address, or of :class:`ExchangeFailed`.
        """
        known = self._known.get(host)
        if known is not None:
            until, addresses = known
            if self._reactor.seconds() < until:
                return succeed(addresses)
            del self._known[host]

        def give_up(waiter: Deferred[Sequence[str]]) -> None:
            # The look-up cannot be stopped, and its result can serve the next exchange.
            self._waiting[host].remove(waiter)
            waiter.errback(ExchangeCancelled(f"looking up {host}", Contact(host, silent=True)))

        waiter: Deferred[Sequence[str]] = Deferred(give_up)
        if host in self._waiting:
            self._waiting[host].append(waiter)
        else:
            self._waiting[host] = [waiter]
            self._ask(host)
        return waiter

    def forget(self, host: str) -> None:
        """Look the name up again next time: its addresses do not answer."""
        self._known.pop(host, None)

    def _ask(self, host: str) -> None:
        self._queue.append(host)
        if self._threads >= MAX_THREADS:
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
        """Look names up until there are no more; runs in a thread. Deques are safe to use from any thread."""
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
                words = f"cannot look up {host}: it has no address"
                result = Failure(ExchangeFailed(Fault.DNS, words, Contact(host)))
        for waiter in self._waiting.pop(host, ()):
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


def _start(run: Callable[[], None]) -> None:
    Thread(target=run, name="pypinger-names", daemon=True).start()
