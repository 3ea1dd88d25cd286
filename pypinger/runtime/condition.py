"""
What is wrong with Py Pinger itself for a time: it is blind, or its clock is wrong (contract, section 3).

Both are announced when they begin, reminded of as often as an incident, and announced when they end, also when a
restart came in between. The board shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.domain.alerting import daemon_alert
from pypinger.domain.clocks import IS_WRONG, WAS_WRONG
from pypinger.domain.model import Alert, Event, Instant, Seconds
from pypinger.domain.reminders import next_of_condition
from pypinger.domain.times import MINUTE, clock, span
from pypinger.ports.clock import WallClock
from pypinger.ports.sharing import LeaseLost
from pypinger.ports.storing import Blind, Store
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.fetches import CheckSettings
from pypinger.runtime.outbox import Outbox


class Condition:
    """Announces, stores and shows that Py Pinger is blind, or that its clock is wrong."""

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        store: Store,
        outbox: Outbox,
        board: LiveBoard,
        settings: CheckSettings,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._now = now
        self._store = store
        self._outbox = outbox
        self._board = board
        self._blind: Blind | None = None
        self._clock: Blind | None = None
        # When each began, on the reactor's clock: the wall clock may be stepped, above all when it was wrong.
        self._began: dict[Blind, Seconds] = {}
        # The channels that have been on while something was wrong; others are new to it.
        self._known: frozenset[str] = frozenset()
        self._recorded: Instant = now()
        self._instance = ""
        self._tasks: Callable[[], int] = lambda: 0
        self._reminder: IDelayedCall | None = None
        # Alerts that were not stored, as there was no lease; each with the arguments of Outbox.announce.
        self._untold: list[tuple[Alert, Seconds, Collection[str] | None]] = []
        board.add_source(lambda: None if self._blind is None else f"blind: {self._blind.words}")
        board.add_source(self._clock_trouble)

    @property
    def blind(self) -> bool:
        """Whether Py Pinger is blind."""
        return self._blind is not None

    @property
    def since(self) -> Instant | None:
        """Since when Py Pinger has been blind; None while it sees."""
        return None if self._blind is None else self._blind.since

    def count_with(self, tasks: Callable[[], int]) -> None:
        """Say of how many tasks the verdicts are kept: of as many as `tasks` returns."""
        self._tasks = tasks

    def share(self, instance: str) -> None:
        """Several instances share the tasks, each with its own conditions; alerts name this one."""
        self._instance = instance

    @property
    def clock_wrong(self) -> bool:
        """Whether its clock is wrong."""
        return self._clock is not None

    def resume(self, blind: Blind | None, clock: Blind | None, known: frozenset[str] = frozenset()) -> None:
        """
        Take up the conditions that the previous process ended in.

        :param known: the channels that were sent an alert of either.
        """
        self._blind, self._clock, self._known = blind, clock, known
        now, seconds = self._now(), self._reactor.seconds()
        self._began = {each: seconds - max(0.0, now - each.since) for each in (blind, clock) if each is not None}
        if blind is not None:
            self._board.show_blind(blind.since)
            # A process that was killed has not recorded this time.
            self._record(blind.since)
        self._remind_later()

    def standing(self, lasted: Seconds = 0.0) -> list[Alert]:
        """
        Return alerts about what is wrong now, for channels that have to be sent them again.

        :param lasted: for how many seconds it must have lasted.
        """
        now = self._now()
        return [
            replace(daemon_alert(Event.BLIND, self._so_far(condition), now, self._instance), started=condition.since)
            for condition in filter(None, (self._blind, self._clock))
            if self._age(condition) >= lasted
        ]

    def configure(self, settings: CheckSettings) -> None:
        """Use other settings, and other channels."""
        self._settings = settings
        self.greet()
        self._remind_later()

    def greet(self) -> None:
        """Announce what is wrong to the channels that were added, those whose ``after`` has passed."""
        added = self._outbox.routes.channels - self._known
        self._known |= added
        if added:
            for condition in filter(None, (self._blind, self._clock)):
                self._announce(Event.BLIND, self._so_far(condition), self._age(condition), added)

    def store_again(self) -> None:
        """There is a new lease: what changed without one is neither stored nor announced yet."""
        self._store.blindness(self._blind, self._clock)
        untold, self._untold = self._untold, []
        for each in untold:
            self._send(*each)

    def stop(self) -> None:
        """Remind of nothing more, and record the blind time so far; the next process continues from there."""
        self._stop_reminding()
        if self._blind is not None:
            self._record(self._recorded)

    def go_blind(self, words: str) -> None:
        """Begin to be blind, unless Py Pinger is already; `words` say why."""
        if self._blind is None:
            self._recorded = self._now()
            self._blind = self._begin(self._recorded, words)
            self._board.show_blind(self._recorded)
            self._announce(Event.BLIND, f"{words}; since {clock(self._recorded)} {self._kept()}", 0.0)
            self._remind_later()

    def see_again(self) -> None:
        """Be no longer blind."""
        blind, self._blind = self._blind, None
        if blind is not None:
            self._record(self._recorded)
            self._board.show_blind(None)
            words = f"it was blind for {self._lasted(blind)}: {blind.words}; {self._kept(over=True)}"
            self._announce(Event.SIGHTED, words, self._age(blind))
            self._remind_later()

    def set_clock(self, ahead: Seconds | None) -> None:
        """
        Set whether the clock is wrong.

        :param ahead: seconds that the clocks of hosts are ahead of ours; None if it is right.
        """
        if ahead is not None and self._clock is None:
            side = "behind" if ahead > 0 else "ahead of"
            words = f"{IS_WRONG}: it is {span(round(abs(ahead) / MINUTE) * MINUTE)} {side} the clocks of most hosts"
            self._clock = self._begin(self._now(), words)
            self._announce(Event.BLIND, f"{words}; tasks that are late or ahead of time cause no alerts", 0.0)
            self._remind_later()
        elif ahead is None and self._clock is not None:
            wrong, self._clock = self._clock, None
            self._announce(Event.SIGHTED, f"{WAS_WRONG} for {self._lasted(wrong)}", self._age(wrong))
            self._remind_later()

    def _clock_trouble(self) -> str | None:
        wrong = self._clock
        return None if wrong is None else f"{wrong.words} (since {clock(wrong.since, self._now())})"

    def _begin(self, since: Instant, words: str) -> Blind:
        condition = Blind(since, words)
        lasting = {each: began for each, began in self._began.items() if each in (self._blind, self._clock)}
        self._known = self._outbox.routes.channels | (self._known if lasting else frozenset())
        self._began = {**lasting, condition: self._reactor.seconds()}
        return condition

    def _remind_later(self, after: Seconds | None = None) -> None:
        """
        Set the timer for the next alert, if anything is wrong: a reminder, or one for channels with ``after``.

        :param after: when the previous one was due, on the reactor's clock.
        """
        self._stop_reminding()
        seconds, settings = self._reactor.seconds(), self._settings
        last = seconds if after is None else after
        found: list[tuple[Seconds, Blind, Seconds | None]] = []
        for condition in filter(None, (self._blind, self._clock)):
            began = self._began[condition]
            due = next_of_condition(began, last, settings.error_interval, settings.error_interval_max)
            if due is not None:
                found.append((due, condition, None))
            for wait in self._outbox.routes.afters():
                if began + wait > last:
                    found.append((began + wait, condition, wait))
        if found:
            due, condition, joining = min(found, key=lambda each: each[0])
            self._reminder = self._reactor.callLater(max(0.0, due - seconds), self._remind, due, condition, joining)

    def _stop_reminding(self) -> None:
        if self._reminder is not None and self._reminder.active():
            self._reminder.cancel()
        self._reminder = None

    def _remind(self, due: Seconds, condition: Blind, joining: Seconds | None) -> None:
        to = None if joining is None else self._outbox.routes.joining(joining)
        self._announce(Event.BLIND, self._so_far(condition), self._age(condition), to)
        # A reminder that is late was for all channels whose time had come by then.
        self._remind_later(due if joining is not None else max(due, self._reactor.seconds()))

    def _age(self, condition: Blind) -> Seconds:
        # A difference of sums may miss the whole by a tiny amount.
        return round(self._reactor.seconds() - self._began[condition], 3)

    def _so_far(self, condition: Blind) -> str:
        words = f"{condition.words}; this has lasted {self._lasted(condition)}"
        return f"{words}; {self._kept()}" if condition is self._blind else words

    def _kept(self, *, over: bool = False) -> str:
        """What happens, or happened, to the tasks that do not answer."""
        if self._instance:
            return f"its tasks {'were' if over else 'are'} left to the instances that see"
        tasks = self._tasks()
        if tasks == 1:
            return f"1 task {'kept' if over else 'keeps'} its last verdict"
        return f"{tasks} tasks {'kept' if over else 'keep'} their last verdicts"

    def _lasted(self, condition: Blind) -> str:
        now = self._now()
        return f"{span(self._age(condition))}, since {clock(condition.since, now)}"

    def _announce(self, event: Event, words: str, lasted: Seconds, to: Collection[str] | None = None) -> None:
        """
        Store and send an alert, in one transaction with the conditions that last.

        :param lasted: for how many seconds the condition has lasted.
        :param to: only for these channels.
        """
        self._store.blindness(self._blind, self._clock)
        self._send(daemon_alert(event, words, self._now(), self._instance), lasted, to)

    def _send(self, alert: Alert, lasted: Seconds, to: Collection[str] | None) -> None:
        announced = Deferred.fromCoroutine(self._outbox.announce(alert, lasted, to))
        announced.addErrback(self._not_sent, alert, lasted, to)

    def _not_sent(self, failure: Failure, alert: Alert, lasted: Seconds, to: Collection[str] | None) -> None:
        if failure.check(LeaseLost) is None:
            self._log.failure("announcing {event}", failure, event=alert.event.value)
        elif alert.event is Event.SIGHTED or not lasted or to is not None:
            # Reminders would be out of date.
            self._untold.append((alert, lasted, to))

    def _record(self, since: Instant) -> None:
        """Store the blind time since then, which counts neither as up nor as down."""
        now = self._now()
        if now > since:
            self._store.blind(since, now)
        self._recorded = now
