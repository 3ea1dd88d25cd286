"""
Silences while the daemon runs (contract, section 4): which tasks are muted, and when that changes.

Silences that people give are in the store; maintenance comes from the ini file.
:mod:`pypinger.domain.incidents` decides which
alerts the end of a silence causes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from secrets import token_hex

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pypinger.domain.model import Instant, Seconds, Task, TaskState
from pypinger.domain.naming import no_match
from pypinger.domain.selector import Selector, SelectorError, parse, parse_typed, subject_of
from pypinger.domain.silence import LONGEST, Maintenance, Muted, Muting, Silence
from pypinger.domain.times import length
from pypinger.ports.clock import WallClock
from pypinger.ports.sharing import LeaseLost
from pypinger.ports.showing import Entry
from pypinger.ports.storing import Store

#: The longest wait for the next change, in seconds: after a step of the wall clock it is worked out again.
LONGEST_WAIT: Seconds = 30.0


class SilenceError(Exception):
    """A silence cannot be given or ended; ``str()`` is one line that says why."""


class Listed(msgspec.Struct, frozen=True):
    """
    A silence, or a maintenance that lasts now, for ``pypinger silences``.

    :ivar id: of a silence; ``maintenance`` for a section of the ini file.
    :ivar text: what it matches, or the section's name, and why.
    :ivar tasks: how many tasks it matches.
    """

    id: str
    until: Instant
    by: str
    text: str
    tasks: int


class Silencing:
    """
    Knows who is muted.

    :param entries: all tasks and their states.
    """

    _log = Logger()

    def __init__(
        self, reactor: IReactorTime, now: WallClock, store: Store, entries: Callable[[], Sequence[Entry]]
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._store = store
        self._entries = entries
        self._silences: dict[str, tuple[Silence, Selector]] = {}
        self._maintenance: tuple[Maintenance, ...] = ()
        self._muting = Muting()
        self._changed: Callable[[], None] = lambda: None
        self._timer: IDelayedCall | None = None
        self._next: Instant | None = None
        self._running = False

    def resume(self, silences: Sequence[Silence]) -> None:
        """Take up the silences that the store kept."""
        for silence in silences:
            try:
                self._silences[silence.id] = silence, parse(silence.selector)
            except SelectorError as error:
                self._log.error("silence {id} is dropped: {words}", id=silence.id, words=str(error))
        self._renew()

    def replace(self, silences: Sequence[Silence]) -> None:
        """Use these silences instead, which people have given to any instance."""
        if {each.id: each for each in silences} == {key: silence for key, (silence, _) in self._silences.items()}:
            return
        self._silences.clear()
        self.resume(silences)
        self._tell()

    def configure(self, maintenance: Sequence[Maintenance]) -> None:
        """Use these maintenance sections."""
        self._maintenance = tuple(maintenance)
        self._renew()
        self._tell()

    def start(self, changed: Callable[[], None]) -> None:
        """
        Begin to watch the time.

        :param changed: called when a silence has begun or ended, or may have.
        """
        self._changed, self._running = changed, True
        self._arm()

    def stop(self) -> None:
        """Watch the time no longer."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def muted(self, task: Task, state: TaskState) -> Muted | None:
        """What mutes a task now, if anything does."""
        if not self._silences and not self._maintenance:
            return None
        return self._muting.muted(subject_of(task, state), self._now())

    async def add(self, selector: str, seconds: Seconds, reason: str, by: str) -> tuple[Silence, int]:
        """
        Mute what a selector matches, from now on; it is stored when this returns.

        :returns: the silence, and how many tasks it matches now.
        :raises SilenceError: the selector or the length is not valid, or it matches no task.
        """
        if not 0 < seconds <= LONGEST:
            raise SilenceError(f"a silence lasts more than 0 s and at most {length(LONGEST)}")
        try:
            parsed = parse_typed(selector, (subject_of(entry.task, entry.state) for entry in self._entries()))
        except SelectorError as error:
            raise SilenceError(str(error)) from None
        if not parsed.words:
            raise SilenceError("the selector is empty; * matches every task")
        count = self._count(parsed)
        if not count and "kind" not in parsed.fields:
            raise SilenceError(no_match(selector, ((entry.task, entry.state.report) for entry in self._entries())))
        now = self._now()
        silence = Silence(token_hex(2), parsed.text, now, now + seconds, reason[:500], by)
        while silence.id in self._silences:
            silence = msgspec.structs.replace(silence, id=token_hex(4))
        self._silences[silence.id] = silence, parsed
        try:
            await self._keep()
        except LeaseLost:
            self._silences.pop(silence.id, None)
            self._renew()
            raise
        return silence, count

    async def end(self, silence_id: str) -> None:
        """
        End a silence now.

        :raises SilenceError: there is no such silence.
        """
        if silence_id not in self._silences:
            known = ", ".join(self._silences) or "there is none"
            raise SilenceError(f"no silence {silence_id}; present: {known}")
        ended = self._silences.pop(silence_id)
        try:
            await self._keep()
        except LeaseLost:
            self._silences[silence_id] = ended
            self._renew()
            raise

    def listed(self) -> list[Listed]:
        """The silences, and the maintenance that lasts now."""
        now = self._now()
        found = [
            Listed(each.id, each.until, each.by, f"{each.selector}{_because(each.reason)}", self._count(selector))
            for each, selector in self._silences.values()
        ]
        for section in self._maintenance:
            if (end := section.end(now)) is not None:
                words = f"{section.name}{_because(section.reason)}"
                found.append(Listed("maintenance", end, "", words, self._count(section.selector)))
        return sorted(found, key=lambda each: each.until)

    def _count(self, selector: Selector) -> int:
        return sum(selector.matches(subject_of(entry.task, entry.state)) for entry in self._entries())

    async def _keep(self) -> None:
        self._renew()
        await self._store.silences([silence for silence, _ in self._silences.values()])
        self._tell()

    def _renew(self) -> None:
        self._muting = Muting(self._silences.values(), self._maintenance)
        self._arm()

    def _tell(self) -> None:
        if self._running:
            self._changed()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next = self._muting.next_change(self._now()) if self._running else None
        if self._next is not None:
            delay = min(max(self._next - self._now(), 0.0) + 0.005, LONGEST_WAIT)
            self._timer = self._reactor.callLater(delay, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._now()
        reached = self._next is not None and now >= self._next
        over = [silence.id for silence, _ in self._silences.values() if silence.until <= now]
        for silence_id in over:
            del self._silences[silence_id]
        self._renew()
        if reached:
            self._tell()


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
