"""
How many reports are fetched at once (contract, section 3).

Regular fetches wait for one of ``[main] concurrency`` permits; hosts that answer nothing share a quarter of these.
Extra fetches, made to find out whose fault a silence is, have permits of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime

from pypinger.domain.model import Contact, Fault, NoAnswer, Observation, Seconds, Task
from pypinger.domain.redaction import Secrets
from pypinger.ports.fetching import Fetcher
from pypinger.runtime.concurrency import Semaphore
from pypinger.runtime.watch import NEVER, Phase, Watch

#: How many extra fetches may be under way at once.
EXTRA = 128


class CheckSettings(msgspec.Struct, frozen=True):
    """
    How checks are made; a reload replaces it.

    :ivar concurrency: how many checks may fetch at once.
    :ivar secrets: texts to mask in what endpoints answer.
    :ivar log_judged: whether each judged time is logged (``debug_now``).
    :ivar extra: how many extra fetches may be under way at once.
    :ivar error_interval: seconds from the alert that Py Pinger is blind, or its clock wrong, to its first reminder.
    :ivar error_interval_max: the longest time in seconds between two such reminders.
    """

    fetcher: Fetcher
    concurrency: int
    secrets: Secrets
    log_judged: bool = False
    extra: int = EXTRA
    error_interval: Seconds = 480.0
    error_interval_max: Seconds = 21_600.0


def _silent_share(concurrency: int) -> int:
    return max(1, concurrency // 4)


class Fetches:
    """
    Fetches reports.

    :param silent: whether the host of a task answers nothing at present.
    """

    def __init__(self, reactor: IReactorTime, settings: CheckSettings, silent: Callable[[Task], bool]) -> None:
        self._reactor = reactor
        self._silent = silent
        self._settings = settings
        self._permits = Semaphore(settings.concurrency)
        self._silent_permits = Semaphore(_silent_share(settings.concurrency))
        self._extra_permits = Semaphore(settings.extra)
        # The origins that let a fetch take all of its timeout and answered none meanwhile, be it that they accept
        # connections; and of those with fetches under way how many these are, and when one was answered.
        self._stalled: set[str] = set()
        self._asked: Counter[str] = Counter()
        self._heard: dict[str, Seconds] = {}
        self._stopping = False
        self._under_way: dict[Watch, None] = {}
        self._progress: Seconds = reactor.seconds()

    @property
    def settings(self) -> CheckSettings:
        """The present settings."""
        return self._settings

    @property
    def progress(self) -> Seconds:
        """When a regular fetch ended last, on the reactor's clock."""
        return self._progress

    @property
    def under_way(self) -> Collection[Watch]:
        """The tasks whose reports are being fetched, but for extra fetches; the one that began first comes first."""
        return self._under_way

    def configure(self, settings: CheckSettings) -> None:
        """Use other settings for fetches that have not begun."""
        self._settings = settings
        self._permits.resize(settings.concurrency)
        self._silent_permits.resize(_silent_share(settings.concurrency))
        self._extra_permits.resize(settings.extra)

    def stop(self) -> None:
        """Begin no more fetches."""
        self._stopping = True

    async def regular(self, watch: Watch) -> Observation:
        """Wait for a permit, then fetch; the wait is not part of the task's timeout."""
        silent = watch.task.origin in self._stalled or self._silent(watch.task)
        if silent:
            watch.enter(Phase.QUEUED)
            await self._silent_permits.acquire()
        try:
            if not self._permits.try_acquire():
                watch.enter(Phase.QUEUED)
                await self._permits.acquire()
            try:
                if self._stopping or watch.gone:
                    raise CancelledError
                self._under_way[watch] = None
                watch.fetch(self._reactor.seconds())
                return await self._fetch(watch.task)
            finally:
                self._under_way.pop(watch, None)
                self._progress = self._reactor.seconds()
                self._permits.release()
        finally:
            if silent:
                self._silent_permits.release()

    async def beside(self, task: Task, wanted: Callable[[], bool]) -> tuple[Observation, Seconds]:
        """
        Fetch beside ``concurrency``.

        :param wanted: whether the fetch is still wanted when its turn comes; else it is cancelled.
        :returns: the observation, and when the request began on the reactor's clock.
        """
        await self._extra_permits.acquire()
        try:
            if self._stopping or not wanted():
                raise CancelledError
            began = self._reactor.seconds()
            return await self._fetch(task), began
        finally:
            self._extra_permits.release()

    async def look_up(self, task: Task) -> Contact | None:
        """Look up the name of a task's host; see :meth:`pypinger.ports.fetching.Fetcher.look_up`."""
        return await self._settings.fetcher.look_up(task)

    async def _fetch(self, task: Task) -> Observation:
        origin, began = task.origin, self._reactor.seconds()
        self._asked[origin] += 1
        try:
            observation = await self._settings.fetcher.fetch(task)
            if not isinstance(observation, NoAnswer) or observation.fault is not Fault.TIMEOUT:
                self._heard[origin] = self._reactor.seconds()
                self._stalled.discard(origin)
            elif self._heard.get(origin, NEVER) < began:
                self._stalled.add(origin)
        finally:
            self._asked[origin] -= 1
            if not self._asked[origin]:
                del self._asked[origin]
                self._heard.pop(origin, None)
        if isinstance(observation, NoAnswer):
            return replace(observation, words=self._settings.secrets.scrub(observation.words))
        return observation
