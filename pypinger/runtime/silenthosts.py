"""
Tells other instances of hosts that fall silent (contract, section 4, "Storms"): they check their tasks of it at once,
so that one message covers all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pypinger.domain.model import Seconds
from pypinger.ports.sharing import InstanceRequest, SharedStore
from pypinger.runtime.rounds import HostRounds

#: Seconds in which silent hosts are gathered before the others are asked, and how many at most: when more fall silent
#: at once, every instance notices.
TELLING: Seconds = 0.2
MOST = 50

#: The verb of the request.
VERB = "silent"


class SilentHosts:
    """Passes on which hosts fall silent, and joins the rounds of other instances."""

    _log = Logger()

    def __init__(self, reactor: IReactorTime, store: SharedStore, rounds: HostRounds) -> None:
        self._reactor = reactor
        self._store = store
        self._rounds = rounds
        self._hosts: set[str] = set()
        self._telling: IDelayedCall | None = None

    def note(self, host: str) -> None:
        """A host has fallen silent here."""
        if len(self._hosts) < MOST:
            self._hosts.add(host)
        if self._telling is None:
            self._telling = self._reactor.callLater(TELLING, self._tell)

    def stop(self) -> None:
        """Tell of no more hosts."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    async def join(self, body: Mapping[str, Any]) -> object:
        """Check the tasks of hosts that have fallen silent at another instance."""
        for host in body["hosts"]:
            self._rounds.join(host)
        return None

    def _tell(self) -> None:
        self._telling = None
        hosts, self._hosts = sorted(self._hosts), set()
        if self._store.alive():
            telling = Deferred.fromCoroutine(self._store.ask_all(InstanceRequest(VERB, {"hosts": hosts})))
            telling.addErrback(lambda failure: self._log.failure("telling that hosts are silent", failure))
