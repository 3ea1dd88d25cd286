"""Tests for :mod:`pypinger.domain.incidents`: section 4 of the contract."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.alerting import daemon_alert
from pypinger.domain.incidents import acknowledge, close, repeat, standing, step, unmute
from pypinger.domain.judge import judge
from pypinger.domain.kinds import Kind, Status, status_of
from pypinger.domain.model import (
    Alert,
    Answer,
    Check,
    Event,
    Fault,
    Finding,
    Incident,
    Instant,
    Invalid,
    NoAnswer,
    Report,
    Reported,
    Task,
    TaskState,
    Verdict,
    Window,
)
from pypinger.domain.moments import hold_end, steady_end
from pypinger.domain.reminders import next_reminder, remind
from pypinger.domain.wording import plain
from tests.domain.strategies import LEAP, Night, any_windows, minute_windows, minutes, thorough

TASK = Task(
    url="https://example.com/import?token=s3cret",
    id="0123456789ab",
    name="import",
    label="https://example.com/import?…",
    origin="https://example.com:443",
    page="https://pinger.example.com/task/0123456789ab",
    error_interval=480.0,
)
REPORT = Report(True, 0.0, process="import", server="web1")
ERRORS = [Kind.UNREACHABLE, Kind.INVALID, Kind.FAILED, Kind.FUTURE, Kind.LATE]


def check(kind: Kind, at: Instant, finding: Finding | None = None) -> Check:
    return Check(at, 0.25, finding or NoAnswer(Fault.DNS, "x", 0.25), Verdict(kind, f"it is {kind}"))


class Story:
    """A task's state over time, and the alerts it caused."""

    def __init__(self, task: Task = TASK) -> None:
        self.task = task
        self.state = TaskState()
        self.alerts: list[Alert] = []
        self.muted = False
        self.now = 0.0

    def step(self, kind: Kind, at: Instant, finding: Finding | None = None, **how: bool) -> list[Event]:
        self.now = at
        return self.take(step(self.task, self.state, check(kind, at, finding), muted=lambda state: self.muted, **how))

    def remind(self, at: Instant) -> list[Event]:
        self.now = at
        return [] if self.muted else self.take(remind(self.task, self.state, at))

    def mute(self, at: Instant, muted: bool) -> list[Event]:
        self.muted, self.now = muted, at
        return [] if muted else self.take(unmute(self.task, self.state, at))

    def acknowledge(self, at: Instant) -> list[Event]:
        return self.take(acknowledge(self.task, self.state, at, "jane", "on it", muted=self.muted))

    def take(self, after: tuple[TaskState, tuple[Alert, ...]]) -> list[Event]:
        self.state, alerts = after
        self.alerts += alerts
        return [alert.event for alert in alerts]

    @property
    def reminder(self) -> Instant | None:
        return next_reminder(self.task, self.state, self.now)


class StateTests(SynchronousTestCase):
    def test_fresh(self) -> None:
        story = Story()
        self.assertEqual((story.state.kind, story.state.status), (Kind.NEW, Status.NEW))
        self.assertEqual(story.step(Kind.OK, 100.0, Reported(200, REPORT)), [])
        self.assertEqual(
            story.state,
            TaskState(
                verdict=Verdict(Kind.OK, "it is ok"), report=REPORT, pings=1, checked=100.0, since=100.0, latency=0.25
            ),
        )

    def test_counts_and_since(self) -> None:
        story = Story()
        for at, kind in enumerate([Kind.OK, Kind.OK, Kind.LATE, Kind.FAILED, Kind.SLEEPING, Kind.LATE, Kind.OK]):
            story.step(kind, float(at))
        self.assertEqual((story.state.pings, story.state.errors, story.state.checked), (7, 3, 6.0))
        story = Story()
        sinces = []
        for at, kind in enumerate([Kind.OK, Kind.OK, Kind.LATE, Kind.FAILED, Kind.SLEEPING, Kind.OK]):
            story.step(kind, float(at))
            sinces.append(story.state.since)
        self.assertEqual(sinces, [0, 0, 2, 2, 4, 5])

    def test_last_valid_report_is_kept(self) -> None:
        story = Story()
        story.step(Kind.OK, 0.0, Reported(200, REPORT))
        story.step(Kind.INVALID, 1.0, Invalid(200, "x"))
        story.step(Kind.UNREACHABLE, 2.0)
        self.assertEqual(story.state.report, REPORT)
        self.assertEqual([(a.process, a.server) for a in story.alerts], [("import", "web1")] * 2)
        newer = replace(REPORT, server="web2")
        story.step(Kind.OK, 3.0, Reported(200, newer))
        self.assertEqual(story.state.report, newer)
        self.assertEqual(story.alerts[-1].server, "web2")


class IncidentTests(SynchronousTestCase):
    def test_problem_and_recovered(self) -> None:
        story = Story()
        self.assertEqual(story.step(Kind.LATE, 1000.0), [Event.PROBLEM])
        self.assertEqual(story.state.incident, Incident(1000.0, Kind.LATE, 1000.0, 1))
        self.assertEqual(story.step(Kind.LATE, 1060.0), [])
        self.assertEqual(story.step(Kind.OK, 1120.0), [Event.RECOVERED])
        self.assertIsNone(story.state.incident)
        self.assertEqual((story.state.row, story.state.row_started), (0, None))
        problem, recovered = story.alerts
        self.assertEqual(
            problem,
            Alert(
                id=problem.id,
                event=Event.PROBLEM,
                at=1000.0,
                explanation="it is late",
                task=TASK.id,
                name="import",
                label="https://example.com/import?…",
                origin="https://example.com:443",
                page=TASK.page,
                kind=Kind.LATE,
                started=1000.0,
                key="import",
                problem=problem.id,
            ),
        )
        self.assertEqual(recovered.problem, problem.id)
        self.assertEqual((recovered.kind, recovered.started, recovered.at), (Kind.OK, 1000.0, 1120.0))
        self.assertNotIn(b"s3cret", msgspec.json.encode(story.alerts))

    def test_ids_are_stable_and_unique(self) -> None:
        def told() -> list[str]:
            story = Story()
            for at, kind in enumerate([Kind.LATE, Kind.FAILED, Kind.OK, Kind.LATE, Kind.OK]):
                story.step(kind, 1000.0 * at)
            return [alert.id for alert in story.alerts]

        self.assertEqual(told(), told())
        self.assertEqual(len(set(told())), 5)
        for each in told():
            self.assertRegex(each, "^[0-9a-f]{16}$")
        other = step(replace(TASK, url="https://example.com/other"), TaskState(), check(Kind.LATE, 0.0))[1][0]
        self.assertNotIn(other.id, told())

    def test_failures(self) -> None:
        story = Story(replace(TASK, failures=3))
        self.assertEqual(story.step(Kind.LATE, 0.0), [])
        self.assertEqual(story.step(Kind.FAILED, 1.0), [])
        self.assertEqual(story.step(Kind.OK, 2.0), [])
        self.assertEqual(story.step(Kind.LATE, 3.0), [])
        self.assertEqual(story.step(Kind.SLEEPING, 4.0), [])
        self.assertEqual(story.step(Kind.FAILED, 5.0), [])
        self.assertIsNone(story.reminder)
        self.assertEqual(story.step(Kind.INVALID, 6.0), [Event.PROBLEM])
        self.assertEqual(story.state.incident, Incident(3.0, Kind.INVALID, 6.0, 1))
        self.assertEqual(story.alerts[0].started, 3.0)

    def test_changed(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0)
        self.assertEqual(story.step(Kind.FAILED, 60.0), [Event.CHANGED])
        self.assertEqual((story.alerts[-1].kind, story.alerts[-1].explanation), (Kind.FAILED, "it is failed"))
        self.assertEqual(story.step(Kind.FAILED, 479.0), [])

    def test_sleep_neither_closes_nor_changes(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0)
        self.assertEqual(story.step(Kind.SLEEPING, 60.0), [])
        self.assertEqual(story.state.incident, Incident(0.0, Kind.LATE, 0.0, 1))
        self.assertEqual(story.step(Kind.LATE, 120.0), [])
        self.assertEqual(story.step(Kind.OK, 180.0), [Event.RECOVERED])


class HoldTests(SynchronousTestCase):
    def test_opens_once_it_has_lasted(self) -> None:
        story = Story(replace(TASK, unreachable_for=60.0))
        self.assertEqual(story.step(Kind.UNREACHABLE, 0.0), [])
        self.assertEqual(hold_end(story.task, story.state), 60.0)
        assert story.state.verdict is not None
        self.assertEqual(story.state.verdict.next_change, 60.0)
        self.assertEqual(story.step(Kind.INVALID, 30.0), [])
        self.assertEqual(story.step(Kind.UNREACHABLE, 60.0), [Event.PROBLEM])
        self.assertEqual(story.alerts[0].started, 0.0)
        self.assertIsNone(hold_end(story.task, story.state))

    def test_another_kind_between_begins_anew(self) -> None:
        story = Story(replace(TASK, unreachable_for=60.0))
        story.step(Kind.UNREACHABLE, 0.0)
        self.assertEqual(story.step(Kind.OK, 50.0), [])
        self.assertEqual(story.step(Kind.UNREACHABLE, 70.0), [])
        self.assertEqual(hold_end(story.task, story.state), 130.0)

    def test_other_kinds_are_not_held(self) -> None:
        story = Story(replace(TASK, unreachable_for=60.0))
        self.assertEqual(story.step(Kind.FAILED, 0.0), [Event.PROBLEM])
        self.assertEqual(story.step(Kind.UNREACHABLE, 1.0), [Event.CHANGED])


class SleepTests(SynchronousTestCase):
    def test_nothing_is_expected_of_a_sleeping_task(self) -> None:
        asleep = Reported(200, replace(REPORT, sleep=(Window(300, 600.0),)))
        story = Story()
        story.step(Kind.OK, 0.0, asleep)
        self.assertEqual(story.step(Kind.UNREACHABLE, 400.0), [])
        self.assertEqual(story.step(Kind.INVALID, 500.0), [])
        self.assertEqual((story.state.errors, story.state.row, story.state.incident), (2, 0, None))
        assert story.state.verdict is not None
        self.assertEqual(story.state.verdict.next_change, 900.0)
        self.assertEqual(story.step(Kind.UNREACHABLE, 900.0), [Event.PROBLEM])
        self.assertEqual(story.alerts[-1].started, 900.0)

    def test_an_open_incident_does_not_change(self) -> None:
        asleep = Reported(200, replace(REPORT, sleep=(Window(300, 600.0),)))
        story = Story()
        story.step(Kind.LATE, 0.0, asleep)
        self.assertEqual(story.step(Kind.UNREACHABLE, 400.0), [])
        self.assertEqual(story.step(Kind.UNREACHABLE, 900.0), [Event.CHANGED])

    def test_by_the_ini_file(self) -> None:
        """With a last report or without, and whatever that says of sleep."""
        task = replace(TASK, sleep=(Window(300, 600.0),))
        for finding in (None, Reported(200, REPORT), Reported(200, replace(REPORT, sleep=(Window(0, 86_400.0),)))):
            story = Story(task)
            if finding is not None:
                story.step(Kind.OK, 0.0, finding)
            self.assertEqual(story.step(Kind.UNREACHABLE, 400.0), [])
            self.assertEqual((story.state.row, story.state.hold, story.state.incident), (0, None, None))
            assert story.state.verdict is not None
            self.assertEqual(story.state.verdict.next_change, 900.0)
            self.assertEqual(story.step(Kind.UNREACHABLE, 900.0), [Event.PROBLEM])
            self.assertEqual(story.state.verdict and story.state.verdict.next_change, 86_400.0 + 300)
            self.assertEqual(story.step(Kind.INVALID, 86_400.0 + 400), [])

    def test_by_the_ini_file_in_a_time_zone(self) -> None:
        task = replace(TASK, sleep=(Window(3600 + 300, 600.0),), timezone="Africa/Lagos")
        story = Story(task)
        self.assertEqual(story.step(Kind.UNREACHABLE, 400.0), [])
        self.assertEqual(story.step(Kind.UNREACHABLE, 900.0), [Event.PROBLEM])

    def test_the_ini_file_never_lets_it_sleep(self) -> None:
        story = Story(replace(TASK, sleep=()))
        story.step(Kind.OK, 0.0, Reported(200, replace(REPORT, sleep=(Window(300, 600.0),))))
        self.assertEqual(story.step(Kind.UNREACHABLE, 400.0), [Event.PROBLEM])
        self.assertEqual(story.reminder, 400.0 + 480)

    def test_reminders_wait_for_the_sleep_of_the_ini_file(self) -> None:
        story = Story(replace(TASK, sleep=(Window(300, 6000.0),)))
        story.step(Kind.UNREACHABLE, 0.0)
        self.assertEqual(story.reminder, 6300.0)


class MutedTests(SynchronousTestCase):
    """Silenced tasks."""

    def test_an_acknowledgement_is_recorded(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0)
        story.mute(1.0, True)
        self.assertEqual(story.acknowledge(2.0), [])
        assert story.state.incident is not None
        self.assertIsNotNone(story.state.incident.acknowledged)
        self.assertEqual(story.mute(3.0, False), [])

    def test_nothing_is_announced_of_an_untold_incident_whose_task_is_removed(self) -> None:
        story = Story()
        story.mute(0.0, True)
        story.step(Kind.LATE, 1.0)
        self.assertEqual(story.take(close(TASK, story.state, 2.0, "it was removed")), [])
        self.assertIsNone(story.state.incident)

    def test_flapping_that_ends_in_trouble(self) -> None:
        story = Story()
        for number in range(4):
            story.step(Kind.FAILED, 120.0 * number)
            story.step(Kind.OK, 120.0 * number + 60)
        story.step(Kind.FAILED, 600.0)
        story.mute(601.0, True)
        for minute in range(11, 45):
            self.assertEqual(story.step(Kind.FAILED, 60.0 * minute), [])
        assert story.state.incident is not None
        self.assertFalse(story.state.incident.flapping)
        self.assertEqual(story.mute(3000.0, False), [Event.REMINDER])


class FlappingTests(SynchronousTestCase):
    def flap(self, count: int, story: Story) -> float:
        now = 0.0
        for _ in range(count):
            story.step(Kind.FAILED, now)
            story.step(Kind.OK, now + 60)
            now += 120
        return now

    def test_the_fourth_incident_within_an_hour(self) -> None:
        story = Story()
        now = self.flap(3, story)
        self.assertEqual(story.step(Kind.FAILED, now), [Event.FLAPPING])
        self.assertIn("4 incidents within an hour; the latest: it is failed", story.alerts[-1].explanation)
        self.assertEqual(story.step(Kind.OK, now + 60), [])
        self.assertEqual(story.step(Kind.LATE, now + 120), [])
        self.assertEqual(story.reminder, now + 480)
        self.assertEqual(story.step(Kind.OK, now + 180), [])
        self.assertEqual(steady_end(story.task, story.state), now + 180 + 1800)
        self.assertEqual(story.step(Kind.OK, now + 1979), [])
        self.assertEqual(story.step(Kind.OK, now + 1980), [Event.RECOVERED])
        self.assertIn("it has kept this status for 30 min; it is ok", story.alerts[-1].explanation)
        self.assertIsNone(story.state.incident)
        # It begins to count anew.
        self.assertEqual(story.step(Kind.FAILED, now + 2000), [Event.PROBLEM])

    def test_that_stays_in_error_is_an_ordinary_problem(self) -> None:
        story = Story()
        now = self.flap(3, story)
        story.step(Kind.FAILED, now)
        self.assertEqual(story.step(Kind.LATE, now + 1800), [Event.PROBLEM])
        self.assertIn("it has kept this status for 30 min; it is late", story.alerts[-1].explanation)
        self.assertEqual((story.alerts[-1].kind, story.alerts[-1].before), (Kind.LATE, Kind.FAILED))
        self.assertEqual(story.step(Kind.FAILED, now + 1860), [Event.CHANGED])

    def test_sleep_neither_counts_nor_interrupts(self) -> None:
        story = Story()
        now = self.flap(3, story)
        story.step(Kind.FAILED, now)
        story.step(Kind.FAILED, now + 900)
        story.step(Kind.SLEEPING, now + 1000)
        self.assertIsNone(steady_end(story.task, story.state))
        story.step(Kind.FAILED, now + 9000)
        self.assertEqual(steady_end(story.task, story.state), now + 9000 + 900)

    def test_nor_does_silence_of_a_task_that_would_sleep(self) -> None:
        story = Story(replace(TASK, sleep=(Window(1320, 6000.0),)))
        now = self.flap(3, story)
        story.step(Kind.FAILED, now)
        story.step(Kind.FAILED, now + 900)
        self.assertEqual(story.step(Kind.UNREACHABLE, now + 1000), [])
        self.assertIsNone(steady_end(story.task, story.state))
        self.assertEqual(story.step(Kind.INVALID, now + 4000), [])
        story.step(Kind.FAILED, now + 9000)
        self.assertEqual(steady_end(story.task, story.state), now + 9000 + 900)

    def test_more_than_an_hour_apart_or_switched_off(self) -> None:
        story = Story()
        for hour in range(6):
            self.assertEqual(story.step(Kind.FAILED, hour * 1300.0), [Event.PROBLEM])
            story.step(Kind.OK, hour * 1300.0 + 60)
        never = Story(replace(TASK, flap_incidents=0))
        self.flap(9, never)
        self.assertNotIn(Event.FLAPPING, [alert.event for alert in never.alerts])


class SilenceTests(SynchronousTestCase):
    def test_what_is_still_wrong_at_the_end_is_a_problem(self) -> None:
        story = Story()
        story.mute(0.0, True)
        self.assertEqual(story.step(Kind.FAILED, 0.0), [])
        self.assertEqual(story.step(Kind.LATE, 60.0), [])
        self.assertEqual(story.mute(100.0, False), [Event.PROBLEM])
        self.assertIs(story.alerts[-1].kind, Kind.LATE)

    def test_what_was_told_before_is_a_reminder(self) -> None:
        story = Story()
        story.step(Kind.FAILED, 0.0)
        story.mute(10.0, True)
        self.assertEqual(story.remind(1000.0), [])
        self.assertEqual(story.mute(2000.0, False), [Event.REMINDER])
        self.assertEqual(story.reminder, 2480.0)

    def test_that_ends_while_the_task_would_sleep(self) -> None:
        for kind in (Kind.SLEEPING, Kind.UNREACHABLE, Kind.INVALID):
            story = Story(replace(TASK, sleep=(Window(100, 900.0),)))
            story.mute(0.0, True)
            story.step(Kind.FAILED, 0.0)
            story.step(kind, 100.0)
            self.assertEqual(story.mute(500.0, False), [])
            story.step(Kind.FAILED, 1000.0)
            self.assertEqual(story.mute(1000.0, False), [Event.PROBLEM])

    def test_what_began_and_ended_in_it_is_never_told(self) -> None:
        story = Story()
        story.mute(0.0, True)
        story.step(Kind.FAILED, 0.0)
        story.step(Kind.OK, 60.0)
        self.assertEqual(story.mute(100.0, False), [])

    def test_the_end_of_what_was_told_follows(self) -> None:
        story = Story()
        story.step(Kind.FAILED, 0.0)
        story.mute(10.0, True)
        self.assertEqual(story.step(Kind.OK, 60.0), [])
        story.step(Kind.FAILED, 70.0)
        self.assertEqual(story.mute(100.0, False), [Event.RECOVERED, Event.PROBLEM])


class AcknowledgementTests(SynchronousTestCase):
    def test_stops_reminders_until_the_kind_changes(self) -> None:
        story = Story()
        self.assertEqual(story.acknowledge(0.0), [])
        story.step(Kind.FAILED, 0.0)
        self.assertEqual(story.acknowledge(10.0), [Event.ACKNOWLEDGED])
        self.assertEqual(story.alerts[-1].explanation, "acknowledged by jane: on it")
        self.assertIsNone(story.reminder)
        self.assertEqual(story.step(Kind.LATE, 1000.0), [Event.CHANGED])
        self.assertIsNotNone(story.reminder)


class ClockTests(SynchronousTestCase):
    """While our clock is wrong, late and future open no incident; everything else is as always."""

    def test_no_incident_opens(self) -> None:
        story = Story()
        for at, kind in enumerate([Kind.LATE, Kind.FUTURE, Kind.LATE]):
            self.assertEqual(story.step(kind, float(at), clock_wrong=True), [])
        self.assertEqual((story.state.kind, story.state.status), (Kind.LATE, Status.ERROR))
        self.assertEqual((story.state.errors, story.state.row, story.state.incident), (3, 0, None))
        self.assertEqual(story.step(Kind.LATE, 3.0), [Event.PROBLEM])
        self.assertEqual(story.alerts[-1].started, 3.0)

    def test_others_open_one(self) -> None:
        for kind in (Kind.UNREACHABLE, Kind.INVALID, Kind.FAILED):
            self.assertEqual(Story().step(kind, 0.0, clock_wrong=True), [Event.PROBLEM])

    def test_the_row(self) -> None:
        story = Story(replace(TASK, failures=2))
        story.step(Kind.FAILED, 0.0, clock_wrong=True)
        self.assertEqual(story.step(Kind.LATE, 1.0, clock_wrong=True), [])
        self.assertEqual(story.step(Kind.FAILED, 2.0, clock_wrong=True), [Event.PROBLEM])
        self.assertEqual(story.alerts[-1].started, 0.0)

    def test_an_open_incident_continues(self) -> None:
        story = Story()
        story.step(Kind.FAILED, 0.0)
        self.assertEqual(story.step(Kind.LATE, 1.0, clock_wrong=True), [Event.CHANGED])
        self.assertEqual(story.step(Kind.OK, 481.0, clock_wrong=True), [Event.RECOVERED])


class CloseTests(SynchronousTestCase):
    def test_nothing_to_close(self) -> None:
        state = TaskState(row=1, row_started=5.0)
        self.assertEqual(close(TASK, state, 10.0, "x"), (state, ()))

    def test_one_message(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0, Reported(200, REPORT))
        state, (alert,) = close(TASK, story.state, 100.0, "it was removed from the configuration")
        self.assertEqual((state.incident, state.row, state.row_started), (None, 0, None))
        self.assertEqual((alert.event, alert.kind, alert.started), (Event.RECOVERED, Kind.LATE, 0.0))
        self.assertEqual(alert.explanation, "no longer monitored: it was removed from the configuration")
        self.assertEqual(alert.server, "web1")
        self.assertNotEqual(alert.id, story.alerts[0].id)


class StandingTests(SynchronousTestCase):
    """The alert about an incident as it stands."""

    def test_without_an_incident(self) -> None:
        story = Story()
        self.assertIsNone(standing(TASK, story.state, 0.0))
        story.step(Kind.OK, 0.0)
        self.assertIsNone(standing(TASK, story.state, 1.0))

    def test_it_is_that_of_the_latest_verdict(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0, Reported(200, REPORT))
        story.step(Kind.FAILED, 60.0, Reported(200, REPORT))
        alert = standing(TASK, story.state, 90.0)
        assert alert is not None
        self.assertEqual(alert, replace(story.alerts[-1], event=Event.PROBLEM, at=90.0, before=None))

    def test_acknowledged(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0)
        story.acknowledge(1.0)
        alert = standing(TASK, story.state, 2.0)
        assert alert is not None
        self.assertEqual(alert.explanation, "it is late; acknowledged by jane: on it")

    def test_flapping(self) -> None:
        story = Story()
        for at in range(8):
            story.step((Kind.LATE, Kind.OK)[at % 2], float(at))
        alert = standing(TASK, story.state, 9.0)
        assert alert is not None
        self.assertEqual((alert.event, alert.kind), (Event.FLAPPING, Kind.LATE))
        self.assertEqual(alert.explanation, "4 incidents within an hour; the latest: it is ok")


class DaemonAlertTests(SynchronousTestCase):
    def test_fields(self) -> None:
        alert = daemon_alert(Event.STARTED, "hello; 3 tasks", 5.0)
        self.assertEqual(alert, Alert(id=alert.id, event=Event.STARTED, at=5.0, explanation="hello; 3 tasks"))
        self.assertRegex(alert.id, "^[0-9a-f]{16}$")
        ids = {daemon_alert(event, "", at).id for event in (Event.STARTED, Event.STOPPED) for at in (5.0, 5.001)}
        self.assertEqual(len(ids), 4)


_moments = st.lists(
    st.tuples(
        st.sampled_from([Kind.OK, Kind.OK, Kind.SLEEPING, *ERRORS, None]),
        st.sampled_from([1.0, 60.0, 300.0, 1000.0]),
        st.booleans(),
    ),
    max_size=60,
)


class Model:
    """The contract's section 4 as a plain program, second by second where time matters."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.told: list[tuple[Event, Instant]] = []
        self.row = 0
        self.kind: Kind | None = None
        self.open: Kind | None = None
        self.held: Instant | None = None
        self.openings: list[Instant] = []
        self.flapping = False
        self.kept: list[tuple[Instant, bool | None]] = []
        self.base = 0.0
        self.number = 0
        self.changed = -1e9
        self.muted = False
        self.untold = False
        self.owed = False

    def tell(self, event: Event, at: Instant) -> None:
        self.told.append((event, at))

    def check(self, kind: Kind, at: Instant) -> None:
        self.kind = kind
        error = kind in ERRORS
        if error:
            self.row += 1
        elif kind is Kind.OK:
            self.row = 0
        if kind in (Kind.UNREACHABLE, Kind.INVALID):
            self.held = at if self.held is None else self.held
        else:
            self.held = None
        if self.flapping:
            self.flap(kind, at)
        elif self.open is None:
            long = self.held is None or at - self.held >= self.task.unreachable_for
            if error and self.row >= self.task.failures and long:
                self.openings = [each for each in self.openings if at - each < 3600] + [at]
                self.flapping = 0 < self.task.flap_incidents <= len(self.openings)
                self.open, self.base, self.number, self.changed = kind, at, 0, -1e9
                self.kept = [(at, False)]
                self.untold = self.muted
                if not self.muted:
                    self.tell(Event.FLAPPING if self.flapping else Event.PROBLEM, at)
        elif error and kind is not self.open:
            self.open = kind
            # A silence that ended in sleep leaves the problem to be told once the task wakes.
            if not self.muted and not self.untold:
                self.changed = at
                self.tell(Event.CHANGED, at)
        elif kind is Kind.OK:
            self.end(at)

    def end(self, at: Instant) -> None:
        if not self.untold:
            if self.muted:
                self.owed = True
            else:
                self.tell(Event.RECOVERED, at)
        self.open, self.flapping = None, False

    def flap(self, kind: Kind, at: Instant) -> None:
        if kind in ERRORS:
            self.open = kind
        self.kept.append((at, None if kind is Kind.SLEEPING else kind is Kind.OK))
        if kind is Kind.SLEEPING:
            return
        steady, well = 0.0, kind is Kind.OK
        for (start, before), (end, after) in zip(reversed(self.kept[:-1]), reversed(self.kept[1:]), strict=True):
            if after is not None and after is not well:
                break
            if before is not None and after is not None and before is well:
                steady += end - start
            elif before is not None and after is None and before is well:
                steady += 0.0
            if before is not None and before is not well:
                break
        if steady < 1800:
            return
        self.openings = []
        if well:
            self.end(at)
        else:
            self.flapping, self.base, self.number = False, at, 0
            if not self.muted:
                self.untold = False
                self.tell(Event.PROBLEM, at)

    def reminder(self) -> tuple[Instant, int] | None:
        if self.open is None or self.task.error_interval <= 0 or self.kind is Kind.SLEEPING:
            return None
        at, number = self.base, self.number
        while True:
            gap = min(self.task.error_interval * 2**number, max(self.task.error_interval, self.task.error_interval_max))
            at, number = at + gap, number + 1
            if at - self.changed >= self.task.error_interval / 2:
                return at, number

    def remind(self, at: Instant) -> None:
        due = self.reminder()
        if due is not None and due[0] <= at and not self.muted and not self.untold:
            self.base, self.number = at, due[1]
            self.tell(Event.REMINDER, at)

    def unmute(self, at: Instant) -> None:
        if self.owed:
            self.tell(Event.RECOVERED, at)
        self.owed = False
        if self.open is None or self.kind is Kind.SLEEPING:
            return
        self.base = at
        untold = Event.FLAPPING if self.flapping else Event.PROBLEM
        self.tell(untold if self.untold else Event.REMINDER, at)
        self.untold = False


class AnyStoryTests(SynchronousTestCase):
    @thorough
    @given(
        _moments,
        st.integers(1, 4),
        st.sampled_from([0.0, 60.0, 480.0]),
        st.sampled_from([60.0, 2000.0]),
        st.sampled_from([0.0, 90.0, 400.0]),
        st.sampled_from([0, 1, 2, 4]),
        st.booleans(),
    )
    def test_as_the_model(
        self,
        moments: list[tuple[Kind | None, float, bool]],
        failures: int,
        error_interval: float,
        longest: float,
        unreachable_for: float,
        flap_incidents: int,
        silences: bool,
    ) -> None:
        """None is time passing without a check; the flag of a moment begins or ends a silence."""
        task = replace(
            TASK,
            failures=failures,
            error_interval=error_interval,
            error_interval_max=longest,
            unreachable_for=unreachable_for,
            flap_incidents=flap_incidents,
        )
        story, model = Story(task), Model(task)
        now = 0.0
        for kind, wait, toggle in moments:
            now += wait
            if silences and toggle:
                story.mute(now, not model.muted)
                model.muted = not model.muted
                if not model.muted:
                    model.unmute(now)
            if kind is None:
                story.remind(now)
                model.remind(now)
            else:
                story.step(kind, now)
                model.check(kind, now)
        self.assertEqual([(alert.event, alert.at) for alert in story.alerts], model.told)

        self.assertEqual(len({alert.id for alert in story.alerts}), len(story.alerts))
        checks = [kind for kind, *_ in moments if kind is not None]
        self.assertEqual(story.state.pings, len(checks))
        self.assertEqual(story.state.errors, sum(status_of(kind) is Status.ERROR for kind in checks))
        # A stored state reads back.
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(story.state), type=TaskState), story.state)


class RepeatTests(SynchronousTestCase):
    """The same answer again, against reading and judging it."""

    @thorough
    @given(
        st.lists(st.sampled_from([Kind.OK, Kind.SLEEPING, *ERRORS]), max_size=6),
        st.booleans(),
        any_windows,
        st.sampled_from([200, 200, 503]),
        st.floats(-4000, 4000),
        st.one_of(st.floats(0, 4000), st.floats(-100, 100)),
    )
    def test_as_judged(
        self, kinds: list[Kind], muted: bool, windows: tuple[Window, ...], code: int, later: float, again: float
    ) -> None:
        report = replace(REPORT, lastrun=LEAP, frequency=30.0, sleep=windows)
        answer = Answer(code, b"", 0.25)
        start = report.lastrun + later

        def judged(at: Instant) -> Check:
            finding = Reported(code, report)
            return Check(at, answer.latency, finding, judge(finding, TASK, at))

        state = TaskState()
        for number, kind in enumerate(kinds):
            state, _ = step(TASK, state, check(kind, start - 60.0 * (len(kinds) - number)), muted=lambda state: muted)
        state, _ = step(TASK, state, judged(start), muted=lambda state: muted)
        now = start + again
        found = repeat(state, answer, now)
        full = judged(now)
        after, alerts = step(TASK, state, full, muted=lambda state: muted)
        if found is None:
            stands = state.kind is full.verdict.kind is Kind.OK and state.verdict == full.verdict
            self.assertFalse(stands and state.incident is None and again >= 0)
        else:
            self.assertEqual(found, (full, replace(after, seen=now), alerts))

    def test_no_answer(self) -> None:
        finding = Reported(200, replace(REPORT, frequency=30.0))
        state, _ = step(TASK, TaskState(), Check(60.0, 0.25, finding, judge(finding, TASK, 60.0)))
        self.assertIsNotNone(repeat(state, Answer(200, b"", 0.25), 120.0))
        self.assertIsNone(repeat(state, NoAnswer(Fault.DNS, "x", 0.25), 120.0))
        self.assertIsNone(repeat(TaskState(), Answer(200, b"", 0.25), 120.0))


class NextReminderTests(SynchronousTestCase):
    """When reminders are due, against a search of every minute."""

    @thorough
    @given(
        minute_windows, minutes, st.sampled_from(ERRORS), st.integers(0, 600), st.integers(0, 3000), st.integers(0, 99)
    )
    def test_as_the_model(
        self, windows: tuple[Window, ...], opened: Instant, kind: Kind, interval: int, later: int, at: int
    ) -> None:
        task = replace(TASK, error_interval=interval * 60.0)
        finding = Reported(200, replace(REPORT, lastrun=opened, sleep=windows))
        state, _ = step(task, TaskState(), check(kind, opened, finding))
        now = opened + later * 60.0
        reminder = next_reminder(task, state, now)
        night = Night(windows)
        excused = kind in (Kind.UNREACHABLE, Kind.INVALID) and night.at(opened)
        if not interval or excused or all(night.asleep):
            self.assertIsNone(reminder)
        else:
            first = opened + interval * 60.0
            expected = night.wake(max(first, now)) if night.at(max(first, now)) else first
            self.assertEqual(reminder, expected)
        asked = now + at * 60.0
        due = next_reminder(task, state, asked)
        after, alerts = remind(task, state, asked)
        self.assertEqual(len(alerts), due is not None and asked >= due)
        if alerts:
            self.assertEqual((alerts[0].event, alerts[0].at), (Event.REMINDER, asked))
            assert after.incident is not None
            self.assertEqual(remind(task, after, asked), (after, ()))


class ReminderWordsTests(SynchronousTestCase):
    """A reminder may come long after the check whose verdict it repeats; its age is worked out when it is sent."""

    def reminded(self, finding: Finding, at: Instant, later: Instant) -> tuple[str, str]:
        verdict = judge(finding, TASK, at)
        state, _ = step(TASK, TaskState(), Check(at, 0.1, finding, verdict))
        _, (alert,) = remind(TASK, state, later)
        self.assertEqual(alert.explanation, verdict.explanation)
        return alert.explanation, plain((alert,)).splitlines()[1].removeprefix(alert.explanation)

    def test_late(self) -> None:
        explanation, age = self.reminded(Reported(200, REPORT), 700.0, 1320.0)
        self.assertEqual(
            explanation, "last ran 1970-01-01 00:00:00 UTC, runs every 10 min, was due 00:10:00 UTC; grace 1 min"
        )
        self.assertEqual(age, " (late by 12 min)")

    def test_future(self) -> None:
        ahead = Reported(200, replace(REPORT, lastrun=7200.0))
        self.assertEqual(self.reminded(ahead, 0.0, 1200.0)[1], " (ahead by 1 h 40 min)")

    def test_failed(self) -> None:
        failed = Reported(503, replace(REPORT, ok=False, reason="boom"))
        explanation, age = self.reminded(failed, 10.0, 600.0)
        self.assertIn("HTTP 503", explanation)
        self.assertEqual(age, " (ran 10 min ago)")

    def test_unreachable(self) -> None:
        self.assertEqual(self.reminded(NoAnswer(Fault.DNS, "no such host", 0.1), 0.0, 600.0), ("no such host", ""))


class VerdictFieldTests(SynchronousTestCase):
    def test_kind_before(self) -> None:
        story = Story()
        for at, kind in enumerate((Kind.LATE, Kind.FAILED, Kind.OK)):
            story.step(kind, 60.0 * at)
        self.assertEqual([alert.before for alert in story.alerts], [None, Kind.LATE, Kind.FAILED])

    def test_run_and_due_time(self) -> None:
        finding = Reported(200, REPORT)
        late = Check(700.0, 0.1, finding, judge(finding, TASK, 700.0))
        state, (problem,) = step(TASK, TaskState(), late)
        self.assertEqual((problem.lastrun, problem.due), (0.0, 600.0))
        down = NoAnswer(Fault.DNS, "x", 0.1)
        _, (changed,) = step(TASK, state, Check(760.0, 0.1, down, judge(down, TASK, 760.0)))
        self.assertEqual((changed.lastrun, changed.due), (0.0, None))
