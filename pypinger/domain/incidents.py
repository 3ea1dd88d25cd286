"""
Incidents and the alerts they cause (contract, section 4): pure reducers over a task's state.

An incident opens with the error verdict that completes a row of ``failures`` (and, of ``unreachable`` and ``invalid``,
a hold of ``unreachable_for``); it starts with the first of that row and ends with the next ``ok``. Storing a state
together with its alerts, and sending these, is left to the runtime.

Note [Flapping]
~~~~~~~~~~~~~~~
The incident that makes ``flap_incidents`` within an hour stays open over ``ok`` verdicts, until the task has kept one
status, ``ok`` or not, for :data:`STEADY` seconds awake. Until then only its beginning and its reminders are alerts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace

from pypinger.domain.alerting import task_alert
from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import (
    Acknowledgement,
    Alert,
    Answer,
    Check,
    Event,
    Incident,
    Instant,
    Observation,
    Reported,
    Seconds,
    Task,
    TaskState,
)
from pypinger.domain.moments import CLOCKED, STEADY, asleep, excused, hold_end, next_change
from pypinger.domain.times import span

#: The time in which the incidents of a task are counted to see whether it flaps, in seconds.
FLAP_SPAN: Seconds = 3600.0

#: Whether a silence holds back the alerts of a task in a state.
Mutes: TypeAlias = Callable[[TaskState], bool]

_HELD = frozenset({Kind.UNREACHABLE, Kind.INVALID})


def never(state: TaskState) -> bool:
    """No silence holds back anything."""
    return False


def step(
    task: Task, state: TaskState, check: Check, *, muted: Mutes = never, clock_wrong: bool = False
) -> tuple[TaskState, tuple[Alert, ...]]:
    """
    Take a check in.

    :param muted: whether a silence holds back the alerts of the task; asked with the state that causes one.
    :param clock_wrong: whether our clock is known to be wrong, so that ``late`` and ``future`` open nothing.
    :returns: the new state, and the alerts it causes, at most one. The state's verdict has the ``next_change`` of the
        contract's section 2: the earliest of what the verdict, the sleep, a hold and flapping bring.
    """
    after, alerts = _step(task, state, check, muted=muted, clock_wrong=clock_wrong)
    assert after.verdict is not None
    change = next_change(task, after)
    if change != after.verdict.next_change:
        after = replace(after, verdict=replace(after.verdict, next_change=change))
    return after, alerts


def repeat(
    state: TaskState, observation: Observation, now: Instant
) -> tuple[Check, TaskState, tuple[Alert, ...]] | None:
    """
    Take in an answer with the code and body of the one that the state's verdict rests on, to an unchanged task.

    A verdict stands until its ``next_change``, so reading and judging the answer could find nothing else.

    :returns: the check, and what :func:`step` would return; None if the answer must be judged.
    """
    verdict, report, checked = state.verdict, state.report, state.checked
    if verdict is None or report is None or checked is None or verdict.next_change is None:
        return None
    if verdict.kind is not Kind.OK or state.incident is not None or not isinstance(observation, Answer):
        return None
    if not checked <= now < verdict.next_change:
        return None
    check = Check(now, observation.latency, Reported(observation.code, report), verdict)
    return check, replace(state, pings=state.pings + 1, checked=now, latency=check.latency, seen=now), ()


def acknowledge(
    task: Task, state: TaskState, now: Instant, by: str, reason: str, *, muted: bool = False
) -> tuple[TaskState, tuple[Alert, ...]]:
    """Take note that somebody takes care of the open incident; without one nothing happens."""
    if state.incident is None:
        return state, ()
    incident = replace(state.incident, acknowledged=Acknowledgement(now, by, reason))
    if muted or not incident.told:
        return replace(state, incident=incident), ()
    words = _acknowledged(Acknowledgement(now, by, reason))
    return _tell(task, state, Event.ACKNOWLEDGED, now, incident, words)


def standing(task: Task, state: TaskState, now: Instant) -> Alert | None:
    """
    Return an alert about the open incident as it stands, None without one.

    The incident is not charged with it; its id is that of the incident's latest alert.
    """
    incident = state.incident
    if incident is None or state.verdict is None:
        return None
    event = Event.FLAPPING if incident.flapping else Event.PROBLEM
    words = _explained(state, incident)
    if incident.acknowledged is not None:
        words = f"{words}; {_acknowledged(incident.acknowledged)}"
    return task_alert(task, state.report, event, now, incident, words, due=state.verdict.due)


def unmute(task: Task, state: TaskState, now: Instant) -> tuple[TaskState, tuple[Alert, ...]]:
    """
    A silence has ended: tell what is still wrong, as problem if it was never told, else as reminder.

    The ``recovered`` that the silence held back comes first.
    """
    owed: tuple[Alert, ...] = () if state.owed is None else (replace(state.owed, at=now),)
    state = replace(state, owed=None)
    incident = state.incident
    if incident is None or state.verdict is None or asleep(task, state):
        return state, owed
    if incident.told and incident.acknowledged is not None:
        return state, owed
    event = Event.REMINDER if incident.told else Event.FLAPPING if incident.flapping else Event.PROBLEM
    incident = replace(incident, told=True, reminded=now)
    state, alerts = _tell(task, state, event, now, incident, _explained(state, incident))
    return state, owed + alerts


def close(task: Task, state: TaskState, now: Instant, why: str) -> tuple[TaskState, tuple[Alert, ...]]:
    """
    The task is no longer monitored: close its incident, if one is open, with one message.

    A silence does not hold that message back, as no later check would send it.

    :param why: goes into the explanation, say ``it was removed from the configuration``.
    :returns: the state without an incident; the alert is ``recovered`` with the kind that the incident had. The
        ``recovered`` of an earlier incident that a silence held back comes first.
    """
    incident = state.incident
    owed: tuple[Alert, ...] = () if state.owed is None else (state.owed,)
    if incident is None:
        return replace(state, owed=None, configured=None), owed
    after = replace(state, row=0, row_started=None, hold=None, opened=(), owed=None, configured=None)
    if not incident.told:
        return replace(after, incident=None), owed
    after, alerts = _tell(
        task, after, Event.RECOVERED, now, incident, f"no longer monitored: {why}", kind=incident.kind
    )
    return replace(after, incident=None), owed + alerts


def _step(
    task: Task, state: TaskState, check: Check, *, muted: Mutes, clock_wrong: bool
) -> tuple[TaskState, tuple[Alert, ...]]:
    verdict, now = check.verdict, check.at
    kind, status = verdict.kind, verdict.status
    report = state.report
    if isinstance(check.finding, Reported) and check.finding.report != report:
        # While a report stays the same so does its object: thousands of tasks have one each, not one a check.
        report = check.finding.report
    expected = status is Status.ERROR and not excused(task, kind, report, now)
    counts = expected and not (clock_wrong and kind in CLOCKED)
    after = replace(
        state,
        verdict=verdict,
        report=report,
        pings=state.pings + (check.finding is not None),
        errors=state.errors + (status is Status.ERROR and check.finding is not None),
        checked=state.checked if check.finding is None else now,
        judged=now if check.finding is None else None,
        since=state.since if status is state.status else now,
        latency=None if task.url is None else check.latency,
        hold=_held_since(state, now) if expected and kind in _HELD else None,
    )
    if counts:
        after = replace(after, row=state.row + 1, row_started=now if state.row_started is None else state.row_started)
    elif status is Status.OK:
        after = replace(after, row=0, row_started=None)
    if state.incident is None:
        if not counts or after.row < task.failures or now < (hold_end(task, after) or now):
            return after, ()
        return _open(task, after, now, muted)
    if state.incident.flapping:
        return _flap(task, state, after, now, muted)
    if expected and kind is not state.incident.kind:
        return _change(task, after, now, muted)
    if status is Status.OK:
        return _recover(task, after, now, muted)
    return after, ()


def _held_since(state: TaskState, now: Instant) -> Instant:
    """When a hold began; now, too, if the clock was set back since."""
    return now if state.hold is None else min(state.hold, now)


def _open(task: Task, state: TaskState, now: Instant, muted: Mutes) -> tuple[TaskState, tuple[Alert, ...]]:
    assert state.row_started is not None
    most = max(task.flap_incidents, 1)
    opened = (*(each for each in state.opened if now - FLAP_SPAN < each <= now), now)[-most:]
    flapping = 0 < task.flap_incidents <= len(opened)
    told = not muted(state)
    incident = Incident(state.row_started, state.kind, reminded=now, alerts=0, told=told, flapping=flapping)
    state = replace(state, opened=opened)
    if not told:
        return replace(state, incident=incident), ()
    event = Event.FLAPPING if flapping else Event.PROBLEM
    return _tell(task, state, event, now, incident, _explained(state, incident))


def _change(task: Task, state: TaskState, now: Instant, muted: Mutes) -> tuple[TaskState, tuple[Alert, ...]]:
    assert state.incident is not None
    before = state.incident.kind
    incident = replace(state.incident, kind=state.kind, changed=now, acknowledged=None)
    if not incident.told or muted(replace(state, incident=incident)):
        # Where it was never told, the end of the silence that held it back is still to come.
        return replace(state, incident=replace(incident, changed=state.incident.changed)), ()
    return _tell(task, state, Event.CHANGED, now, incident, _explained(state, incident), before=before)


def _recover(task: Task, state: TaskState, now: Instant, muted: Mutes) -> tuple[TaskState, tuple[Alert, ...]]:
    incident = state.incident
    assert incident is not None
    if not incident.told:
        return replace(state, incident=None), ()
    told, alerts = _tell(
        task, state, Event.RECOVERED, now, incident, _explained(state, incident), kind=state.kind, before=incident.kind
    )
    told = replace(told, incident=None)
    return (replace(told, owed=alerts[0]), ()) if muted(state) else (told, alerts)


def _flap(
    task: Task, before: TaskState, state: TaskState, now: Instant, muted: Mutes
) -> tuple[TaskState, tuple[Alert, ...]]:
    """See Note [Flapping]."""
    incident = before.incident
    assert incident is not None
    if asleep(task, state):
        return state, ()
    well = state.status is Status.OK
    earlier, kind = incident.kind, incident.kind if well else state.kind
    if well is not incident.well:
        steady = 0.0
    elif before.verdict_at is None or asleep(task, before):
        steady = incident.steady
    else:
        steady = incident.steady + max(0.0, now - before.verdict_at)
    incident = replace(incident, kind=kind, well=well, steady=steady)
    state = replace(state, incident=incident)
    if steady < STEADY:
        return state, ()
    state = replace(state, opened=())
    if well:
        return _recover(task, state, now, muted)
    incident = replace(incident, flapping=False, reminded=now, reminders=0)
    if muted(state):
        return replace(state, incident=incident), ()
    told = replace(incident, told=True)
    return _tell(task, state, Event.PROBLEM, now, told, _steadily(state), before=earlier)


def _tell(
    task: Task,
    state: TaskState,
    event: Event,
    now: Instant,
    incident: Incident,
    explanation: str,
    *,
    kind: Kind | None = None,
    before: Kind | None = None,
) -> tuple[TaskState, tuple[Alert, ...]]:
    """Charge the incident with one more alert."""
    incident = replace(incident, alerts=incident.alerts + 1)
    due = None if state.verdict is None else state.verdict.due
    alert = task_alert(task, state.report, event, now, incident, explanation, due=due, kind=kind, before=before)
    return replace(state, incident=incident), (alert,)


def _acknowledged(by: Acknowledgement) -> str:
    return f"acknowledged by {by.by or 'unknown'}" + (f": {by.reason}" if by.reason else "")


def _explained(state: TaskState, incident: Incident) -> str:
    assert state.verdict is not None
    if not incident.flapping:
        return state.verdict.explanation
    if not state.opened:
        return _steadily(state)
    return f"{len(state.opened)} incidents within an hour; the latest: {state.verdict.explanation}"


def _steadily(state: TaskState) -> str:
    """Explain the end of flapping."""
    assert state.verdict is not None
    return f"it has kept this status for {span(STEADY)}; {state.verdict.explanation}"
