"""
Sends what still stands again, to channels whose alerts expire (contract, section 5, ``[alertmanager]``).

Best effort, beside the outbox: what is kept alive was delivered before, or is about to be. The alerts are made of the
board's present states, in slices, so that thousands of open incidents do not hold up checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.domain import incidents
from pypinger.domain.model import Alert, Incident, Part, Seconds
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import DeliveryError, KeptAlive
from pypinger.runtime.board import LiveBoard

#: Seconds between two rounds. The first comes after one interval, when all tasks have been checked.
INTERVAL: Seconds = 60.0

#: Seconds that a round may take.
LIMIT: Seconds = 50.0

#: How many alerts are made at once.
SLICE = 200


class KeptChannel(NamedTuple):
    """
    A channel whose alerts are kept alive.

    :ivar name: its section.
    :ivar after: for how many seconds something must have lasted before the channel takes part.
    """

    name: str
    notifier: KeptAlive
    after: Seconds = 0.0


class Keeper:
    """
    Keeps alerts alive: a round a minute for each channel, unless its last round is still under way.

    :param conditions: returns alerts about what has been wrong with Py Pinger itself for so many seconds.
    :param sends: whether this instance sends through a channel now.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        board: LiveBoard,
        conditions: Callable[[Seconds], Sequence[Alert]],
        channels: Sequence[KeptChannel],
        sends: Callable[[str], bool] = lambda channel: True,
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._board = board
        self._conditions = conditions
        self._channels = channels
        self._sends = sends
        self._rounds: dict[KeptChannel, Deferred[None]] = {}
        self._failing: set[str] = set()
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor

    def start(self) -> None:
        """Begin; the first round comes after one interval."""
        self._loop.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Begin no more rounds, and cancel those under way."""
        if self._loop.running:
            self._loop.stop()
        for round_ in list(self._rounds.values()):
            round_.cancel()

    def update(self, channels: Sequence[KeptChannel]) -> None:
        """Keep the alerts of these channels alive from now on; a round for one that is gone is cancelled."""
        self._channels = channels
        self._failing &= {channel.name for channel in channels}
        for channel, round_ in list(self._rounds.items()):
            if channel not in channels:
                round_.cancel()

    def _tick(self) -> None:
        for channel in self._channels:
            if channel not in self._rounds and self._sends(channel.name):
                self._rounds[channel] = round_ = Deferred.fromCoroutine(self._keep(channel))
                round_.addTimeout(LIMIT, self._reactor)
                round_.addBoth(self._over, channel)

    async def _keep(self, channel: KeptChannel) -> None:
        """One round of one channel."""
        alerts: list[Alert] = []
        takes_part = [each.task.id for each in self._board.entries() if _joined(each.state.incident, channel.name)]
        for number, task_id in enumerate(takes_part, 1):
            # The incident may have ended since.
            entry = self._board.by_id(task_id)
            if entry is not None and _joined(entry.state.incident, channel.name):
                alert = incidents.standing(entry.task, entry.state, self._now())
                alerts += [] if alert is None else [alert]
            if number % SLICE == 0:
                await deferLater(self._reactor, 0)
        await channel.notifier.keep([*self._conditions(channel.after), *alerts])

    def _over(self, result: object, channel: KeptChannel) -> None:
        """A round is over: log its failure, the first in a row as a warning."""
        self._rounds.pop(channel, None)
        name = channel.name
        if not isinstance(result, Failure):
            if name in self._failing:
                self._failing.discard(name)
                self._log.info("the open alerts of {name} are kept alive again", name=name)
        elif result.check(DeliveryError, TimeoutError):
            words = getattr(result.value, "words", "no answer in time")
            say = self._log.debug if name in self._failing else self._log.warn
            say("the open alerts of {name} were not kept alive: {words}", name=name, words=words)
            self._failing.add(name)
        elif not result.check(CancelledError):
            self._log.failure("unexpected error while keeping the alerts of {name} alive", result, name=name)


def _joined(incident: Incident | None, channel: str) -> bool:
    """Whether a channel has been told of an incident that is open."""
    return incident is not None and incident.told and incident.parts.get(channel) is Part.JOINED
