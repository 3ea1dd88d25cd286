"""
An instance in a process of its own: ``python -m tests.store.postgres.member URL NAME COUNT``.

It writes the state of each of its tasks ten times a second, each time with one more ping, and prints what happens.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred

from pypinger.domain.identity import task_of
from pypinger.domain.model import TaskState
from pypinger.ports.sharing import InstanceHealth, LeaseLost
from pypinger.ports.storing import Kept
from pypinger.store.postgres.store import PostgresStore
from tests.store.postgres.members import Runtime, check, listing

#: Parsing their URLs for each write takes more time than all the rest.
tasks = cache(task_of)


class Process(Runtime):
    def lost(self, words: str) -> None:
        super().lost(words)
        print("lost", words, flush=True)

    def joined(self) -> None:
        super().joined()
        print("joined", self.store.name, flush=True)

    def write(self) -> None:
        for key, state in list(self.states.items()):
            self.states[key] = TaskState(pings=state.pings + 1)
            Deferred.fromCoroutine(self._commit(key, self.states[key]))

    async def _commit(self, key: str, state: TaskState) -> None:
        try:
            await self.store.commit(tasks(key), state, check(), [])
        except LeaseLost:
            pass


def main(url: str, name: str, count: str) -> None:
    store = PostgresStore(reactor, url, name=name, keep_days=90)  # type: ignore[arg-type]
    store.list(listing(int(count)))

    def begin() -> None:
        kept: Kept = store.open()
        member = Process(store, kept)
        store.start(member, InstanceHealth)
        loop: Any = task.LoopingCall(member.write)
        loop.start(0.1)
        print("ready", flush=True)

    reactor.callWhenRunning(begin)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(*sys.argv[1:])
