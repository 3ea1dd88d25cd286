"""Verdicts, and what is remembered of a task between two checks."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from pypinger.domain.kinds import Kind, Status, status_of
from pypinger.domain.model.alert import Alert
from pypinger.domain.model.observation import Finding
from pypinger.domain.model.task import Report
from pypinger.domain.model.units import Instant, Seconds


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """
    The judgement of one finding at one moment (contract, section 2).

    :ivar explanation: one line with the figures it rests on, in absolute times; true until ``next_change``.
    :ivar due: when the task is due; None if that is unknown or it sleeps all day.
    :ivar next_change: the next moment at which the verdict would change by itself; None if there is none.
    :ivar sleep_start: start of the sleep that the judged moment lies in, else None.
    :ivar sleep_end: its end (excluded), else None; also None for a task that sleeps all day.
    """

    kind: Kind
    explanation: str
    due: Instant | None = None
    next_change: Instant | None = None
    sleep_start: Instant | None = None
    sleep_end: Instant | None = None

    @property
    def status(self) -> Status:
        return status_of(self.kind)


class Check(msgspec.Struct, frozen=True, gc=False):
    """
    One finished check.

    :ivar at: when it was judged.
    :ivar latency: seconds that the exchange took.
    :ivar finding: None if a push task was judged again from what is kept; that does not count as a check.
    """

    at: Instant
    latency: Seconds
    finding: Finding | None
    verdict: Verdict


class Acknowledgement(msgspec.Struct, frozen=True, gc=False):
    """
    Somebody takes care of an incident: its reminders stop until its kind changes or it ends.

    :ivar by: the login name that the command sent.
    """

    at: Instant
    by: str
    reason: str


class Part(StrEnum):
    """
    What a channel has to do with an incident (contract, section 4, "Routing").

    :cvar APART: it did not match the task when the incident opened.
    :cvar WAITING: it takes part once the incident has lasted for its ``after``.
    :cvar JOINED: it takes part.
    """

    APART = "apart"
    WAITING = "waiting"
    JOINED = "joined"


#: The channels of the versions without routing; all other channels came later.
FIRST_CHANNELS = frozenset({"slack", "hipchat", "sentry"})


class Incident(msgspec.Struct, frozen=True, gc=False):
    """
    An open incident (contract, section 4).

    :ivar started: the first error verdict of the row that opened it.
    :ivar kind: the kind of its latest error verdict.
    :ivar reminded: what the next reminder counts from: the problem alert or the latest reminder.
    :ivar alerts: how many alerts it has caused; numbers them, so that their ids are stable.
    :ivar reminders: how many reminders there were since the problem alert; each doubles the wait for the next.
    :ivar changed: when its kind last changed; None if it never did.
    :ivar told: whether its problem was alerted, and not muted by a silence.
    :ivar flapping: whether it stays open until the task has kept one status for a while.
    :ivar well: while flapping, whether the latest verdict outside sleep was ``ok``.
    :ivar steady: while flapping, for how many seconds awake that status has been kept.
    :ivar channels: channel -> its part, of each channel that was configured when the incident opened or joined later.
        None in a store of a version without routing, whose channels all took part.
    """

    started: Instant
    kind: Kind
    reminded: Instant
    alerts: int
    reminders: int = 0
    changed: Instant | None = None
    told: bool = True
    flapping: bool = False
    well: bool = False
    steady: Seconds = 0.0
    acknowledged: Acknowledgement | None = None
    channels: Mapping[str, Part] | None = None

    @property
    def parts(self) -> Mapping[str, Part]:
        """Channel -> its part, without those that were added later and have not joined."""
        return dict.fromkeys(FIRST_CHANNELS, Part.JOINED) if self.channels is None else self.channels


class TaskState(msgspec.Struct, frozen=True, gc=False):
    """
    Everything that is remembered of a task between two checks; ``TaskState()`` before the first.

    :ivar verdict: the latest verdict, None before the first check.
    :ivar report: the latest valid report, kept while the task is unreachable.
    :ivar pings: checks made.
    :ivar errors: checks with an error verdict.
    :ivar checked: when the latest check was judged.
    :ivar seen: when the latest answer of any kind came, None before the first.
    :ivar since: since when the task has had its present status.
    :ivar latency: seconds of the latest check.
    :ivar row: error verdicts in a row; sleep neither counts in nor resets it.
    :ivar row_started: when that row began.
    :ivar hold: since when it has been unreachable or invalid, with no other kind between; None if it is not.
    :ivar opened: when its latest incidents opened, within the last hour, oldest first.
    :ivar owed: the ``recovered`` of an incident that was alerted, muted by a silence that still lasts.
    :ivar owed_to: the channels that `owed` is for; None for those of a version without routing.
    :ivar seen: time of the last answer, whatever it said; None before the first.
    :ivar configured: since when a push task has been configured, which has never reported.
    :ivar rid: the id of the run that a ping has begun; None without one.
    :ivar judged: when a push task was last judged without a check; None if a check came later.
    """

    verdict: Verdict | None = None
    report: Report | None = None
    pings: int = 0
    errors: int = 0
    checked: Instant | None = None
    since: Instant | None = None
    latency: Seconds | None = None
    row: int = 0
    row_started: Instant | None = None
    incident: Incident | None = None
    hold: Instant | None = None
    opened: tuple[Instant, ...] = ()
    owed: Alert | None = None
    owed_to: tuple[str, ...] | None = None
    seen: Instant | None = None
    configured: Instant | None = None
    rid: str | None = None
    judged: Instant | None = None

    @property
    def verdict_at(self) -> Instant | None:
        """When the verdict was made; None before the first check."""
        return self.checked if self.judged is None else self.judged

    @property
    def kind(self) -> Kind:
        return Kind.NEW if self.verdict is None else self.verdict.kind

    @property
    def status(self) -> Status:
        return status_of(self.kind)
