"""
Takes what tasks send (contract, section 9): finds the task by its key, limits how much it sends, and hands it to the
monitor.

Note [Limits]
~~~~~~~~~~~~~
A task may send :data:`PUSHES` pushes in :data:`PUSHES_WITHIN` seconds, and failures beyond that. Of several instances
each counts those that come to it, and the one that watches the task those of the others, too. Every push waits for a
commit, so at most :data:`WAITING` of them wait at once. All tasks together may send :data:`RATE` a second: more would
take the time that checks need.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from hmac import compare_digest
from typing import Any, NamedTuple

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypinger.domain import report
from pypinger.domain.model import Invalid, Report, Reported, Seconds, Task
from pypinger.domain.pushes import PING_BODY, Ping, Push, PushedReport
from pypinger.domain.redaction import Secrets
from pypinger.ports.pushing import PushResult, Taken
from pypinger.ports.sharing import InstanceRequest, InstanceRequestFailed
from pypinger.runtime.check import Checker
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.sharing import Participant
from pypinger.runtime.watch import Watch

#: How many pushes of a task are taken within PUSHES_WITHIN seconds (contract, section 9).
PUSHES = 60
PUSHES_WITHIN: Seconds = 60.0

#: How many pushes may wait at once until they are kept, of all tasks and of one.
WAITING = 5000
WAITING_OF_ONE = 60

#: How many pushes a second are read, and how many may come at once before that counts.
RATE = 1500
BURST = 3000

#: Seconds after which a refused client may try again.
AGAIN: Seconds = 5.0

_UNKNOWN = PushResult(Taken.UNKNOWN, "not found")


class _Known(NamedTuple):
    """
    A task that sends.

    :ivar secret: its ``push_key``.
    :ivar taken: when its latest pushes were taken, on the reactor's clock.
    """

    task: Task
    secret: bytes
    taken: deque[Seconds]


class Pushes:
    """
    A :class:`pypinger.ports.pushing.PushReceiver`.

    :param secrets: are removed from what tasks send.
    :param max_body: the longest report, in bytes.
    """

    _log = Logger()

    def __init__(
        self, reactor: IReactorTime, monitor: Monitor, checker: Checker, secrets: Secrets, max_body: int
    ) -> None:
        self._reactor = reactor
        self._monitor = monitor
        self._checker = checker
        self._secrets = secrets
        self._max_body = max_body
        # By the digests of their keys, and by the tasks.
        self._tasks: dict[bytes, _Known] = {}
        self._by_task: dict[str, _Known] = {}
        self._waiting: dict[str, int] = {}
        self._count = 0
        self._stopped = True
        self._tokens: float = BURST
        self._filled: Seconds = reactor.seconds()
        self._shared: Participant | None = None

    @property
    def max_body(self) -> int:
        """See :attr:`pypinger.ports.pushing.PushReceiver.max_body`."""
        return self._max_body

    def share(self, participant: Participant) -> None:
        """Hand pushes over to the instance that watches their task."""
        self._shared = participant
        participant.answer("push", self._take_over)

    def start(self) -> None:
        """Take pushes from now on."""
        self._stopped = False

    def stop(self) -> None:
        """Refuse further pushes: the next process takes them."""
        self._stopped = True

    def update(self, tasks: Iterable[Task], max_body: int) -> None:
        """Set the tasks and the longest report."""
        before = {key: known.taken for key, known in self._by_task.items()}
        self._tasks = {
            _digest(task.push_key): _Known(task, task.push_key.encode(), before.get(task.key, deque(maxlen=PUSHES)))
            for task in tasks
            if task.push_key is not None
        }
        self._by_task = {known.task.key: known for known in self._tasks.values()}
        self._max_body = max_body

    def knows(self, key: str) -> bool:
        """See :meth:`pypinger.ports.pushing.PushReceiver.knows`."""
        return self._find(key) is not None

    def overloaded(self) -> bool:
        """See :meth:`pypinger.ports.pushing.PushReceiver.overloaded`, and Note [Limits]."""
        now = self._reactor.seconds()
        self._tokens = min(float(BURST), self._tokens + (now - self._filled) * RATE)
        self._filled = now
        if self._tokens < 1:
            return True
        self._tokens -= 1
        return False

    async def report(self, key: str, body: bytes, *, whole: bool) -> PushResult:
        """See :meth:`pypinger.ports.pushing.PushReceiver.report`."""
        known = self._find(key)
        if known is None:
            return _UNKNOWN
        if not whole or len(body) > self._max_body:
            words = f"the report is longer than {self._max_body:,} bytes, the most that max_body allows"
            finding: Reported | Invalid = Invalid(200, words)
        else:
            read = report.parse(body, self._secrets.scrub)
            finding = Reported(200, read) if isinstance(read, Report) else Invalid(200, read)
        result = await self._take(known, PushedReport(finding, body[:PING_BODY]))
        if result.taken is Taken.KEPT and isinstance(finding, Invalid):
            return PushResult(Taken.INVALID, finding.problem)
        return result

    async def ping(self, key: str, ping: Ping) -> PushResult:
        """See :meth:`pypinger.ports.pushing.PushReceiver.ping`."""
        known = self._find(key)
        return _UNKNOWN if known is None else await self._take(known, ping)

    async def _take(self, known: _Known, push: Push) -> PushResult:
        """Take a push of a task, within the limits."""
        key = known.task.key
        wait = self._wait(known, push)
        if wait > 0:
            return _limited(wait)
        of_one = self._waiting.get(key, 0)
        if self._stopped or self._count >= WAITING or of_one >= WAITING_OF_ONE:
            words = "Py Pinger is stopping" if self._stopped else "too many pushes are waiting"
            return PushResult(Taken.REFUSED, words, AGAIN)
        self._count_in(known, push)
        self._waiting[key] = of_one + 1
        self._count += 1
        try:
            kept = await self._handed_over(key, push)
        finally:
            self._count -= 1
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
        if kept is None:
            return _limited(AGAIN)
        return PushResult(Taken.KEPT) if kept else PushResult(Taken.REFUSED, "it could not be stored", AGAIN)

    def _wait(self, known: _Known, push: Push) -> Seconds:
        """For how many seconds a task may send no more pushes like this one."""
        if push.failure or len(known.taken) < PUSHES:
            return 0.0
        return known.taken[0] + PUSHES_WITHIN - self._reactor.seconds()

    def _count_in(self, known: _Known, push: Push) -> None:
        if not push.failure:
            known.taken.append(self._reactor.seconds())

    async def _handed_over(self, key: str, push: Push) -> bool | None:
        """
        Have a push judged and stored.

        :returns: whether it is on the disk; None if the instance that watches the task has taken too many.
        """
        if self._shared is not None and not await self._shared.here(key):
            try:
                kept = await self._shared.ask(key, InstanceRequest("push", _packed(key, push)))
            except InstanceRequestFailed as error:
                self._log.info("a push of {task} was not handed over: {words}", task=key, words=str(error))
                return False
            return None if kept is None else bool(kept)
        kept = False

        async def work(watch: Watch) -> None:
            nonlocal kept
            kept = await self._checker.take(watch, push)

        await self._monitor.perform(key, work)
        return kept

    async def _take_over(self, body: Mapping[str, Any]) -> object:
        """Take a push that came to another instance; the result is that of :meth:`_handed_over`."""
        key, push = body["task"], _unpacked(body)
        if self._stopped or not self._monitor.watches(key):
            raise InstanceRequestFailed("the task is watched by another instance now")
        known = self._by_task.get(key)
        if known is not None:
            if self._wait(known, push) > 0:
                return None
            self._count_in(known, push)
        return await self._handed_over(key, push)

    def _find(self, key: str) -> _Known | None:
        """
        Find the task with this key.

        Neither step takes longer the more of a key is right.
        """
        secret = key.encode()
        known = self._tasks.get(_digest(key))
        return known if known is not None and compare_digest(known.secret, secret) else None


def _limited(wait: Seconds) -> PushResult:
    return PushResult(Taken.LIMITED, f"more than {PUSHES} pushes of this task within a minute", wait)


def _packed(key: str, push: Push) -> Mapping[str, Any]:
    """Return a push as values that JSON can hold."""
    return {"task": key, "ping" if isinstance(push, Ping) else "report": msgspec.to_builtins(push)}


def _unpacked(body: Mapping[str, Any]) -> Push:
    if "ping" in body:
        return msgspec.convert(body["ping"], Ping)
    return msgspec.convert(body["report"], PushedReport)


def _digest(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=16).digest()
