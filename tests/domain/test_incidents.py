"""Tests for :mod:`pypinger.domain.incidents`: section 4 of the contract."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.incidents import close, daemon_alert, next_reminder, remind, step
from pypinger.domain.judge import judge
from pypinger.domain.kinds import Kind, Status, status_of
from pypinger.domain.model import (
    Alert,
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
from pypinger.domain.wording import plain
from tests.domain.strategies import Night, minute_windows, minutes, thorough

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

    def step(
        self, kind: Kind, at: Instant, finding: Finding | None = None, *, clock_wrong: bool = False
    ) -> list[Event]:
        self.state, alerts = step(self.task, self.state, check(kind, at, finding), clock_wrong=clock_wrong)
        self.alerts += alerts
        return [alert.event for alert in alerts]

    def remind(self, at: Instant) -> list[Event]:
        self.state, alerts = remind(self.task, self.state, at)
        self.alerts += alerts
        return [alert.event for alert in alerts]

    @property
    def reminder(self) -> Instant | None:
        return next_reminder(self.task, self.state, self.state.checked or 0.0)


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
            ),
        )
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
        # It does not postpone the reminder.
        self.assertEqual(story.reminder, 480.0)
        self.assertEqual(story.step(Kind.FAILED, 479.0), [])
        self.assertEqual(story.step(Kind.FAILED, 480.0), [Event.REMINDER])
        # It replaces a reminder that is due.
        self.assertEqual(story.step(Kind.LATE, 960.0), [Event.CHANGED])
        self.assertEqual(story.reminder, 1440.0)

    def test_sleep_neither_closes_nor_changes(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0)
        self.assertEqual(story.step(Kind.SLEEPING, 60.0), [])
        self.assertEqual(story.state.incident, Incident(0.0, Kind.LATE, 0.0, 1))
        self.assertEqual(story.step(Kind.LATE, 120.0), [])
        self.assertEqual(story.step(Kind.OK, 180.0), [Event.RECOVERED])


class ReminderTests(SynchronousTestCase):
    def test_every_error_interval(self) -> None:
        story = Story()
        self.assertIsNone(story.reminder)
        self.assertEqual(story.remind(0.0), [])
        story.step(Kind.LATE, 0.0)
        self.assertEqual(story.reminder, 480.0)
        self.assertEqual(story.remind(479.9), [])
        self.assertEqual(story.remind(480.0), [Event.REMINDER])
        reminder = story.alerts[-1]
        self.assertEqual((reminder.at, reminder.started, reminder.kind), (480.0, 0.0, Kind.LATE))
        self.assertEqual(reminder.explanation, "it is late")
        self.assertEqual(story.reminder, 960.0)
        self.assertEqual(story.remind(480.0), [])
        self.assertEqual(story.step(Kind.LATE, 2000.0), [Event.REMINDER])
        self.assertEqual(story.reminder, 2480.0)
        story.step(Kind.OK, 2001.0)
        self.assertIsNone(story.reminder)

    def test_never(self) -> None:
        story = Story(replace(TASK, error_interval=0.0))
        story.step(Kind.LATE, 0.0)
        self.assertIsNone(story.reminder)
        self.assertEqual(story.step(Kind.LATE, 1e9), [])
        self.assertEqual(story.remind(1e9), [])
        self.assertEqual(story.step(Kind.FAILED, 2e9), [Event.CHANGED])

    def test_not_while_asleep_but_on_waking(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0)
        story.step(Kind.SLEEPING, 400.0)
        self.assertIsNone(story.reminder)
        self.assertEqual(story.remind(5000.0), [])
        self.assertEqual(story.step(Kind.SLEEPING, 5000.0), [])
        self.assertEqual(story.step(Kind.LATE, 6000.0), [Event.REMINDER])
        self.assertEqual(story.reminder, 6480.0)

    def test_reminder_due_in_an_unseen_sleep_waits_for_its_end(self) -> None:
        asleep = Reported(200, replace(REPORT, sleep=(Window(300.0, 600.0),)))
        for kind in (Kind.LATE, Kind.FAILED, Kind.FUTURE):
            story = Story()
            story.step(kind, 0.0, asleep)
            self.assertEqual(story.reminder, 900.0)
            self.assertEqual(story.remind(899.9), [])
            self.assertEqual(story.remind(900.0), [Event.REMINDER])
            self.assertEqual(story.reminder, 1380.0)

    def test_reminder_due_before_an_unseen_sleep_waits_too(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0, Reported(200, replace(REPORT, sleep=(Window(500, 600.0),))))
        self.assertEqual(story.reminder, 480.0)
        self.assertEqual(story.remind(500.0), [])
        self.assertEqual(next_reminder(story.task, story.state, 500.0), 1100.0)
        self.assertEqual(story.remind(1099.9), [])
        self.assertEqual(story.remind(1100.0), [Event.REMINDER])

    def test_reminder_of_an_unreachable_task_does_not_wait_for_its_sleep(self) -> None:
        story = Story()
        story.step(Kind.OK, 0.0, Reported(200, replace(REPORT, sleep=(Window(300.0, 600.0),))))
        story.step(Kind.UNREACHABLE, 1.0)
        self.assertEqual(story.reminder, 481.0)

    def test_clock_set_back(self) -> None:
        story = Story()
        story.step(Kind.LATE, 10_000.0)
        self.assertEqual(story.step(Kind.LATE, 6400.0), [])
        self.assertEqual(story.reminder, 6880.0)


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
        self.assertEqual(story.step(Kind.LATE, 480.0, clock_wrong=True), [Event.REMINDER])
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


class DaemonAlertTests(SynchronousTestCase):
    def test_fields(self) -> None:
        alert = daemon_alert(Event.STARTED, "hello; 3 tasks", 5.0)
        self.assertEqual(alert, Alert(id=alert.id, event=Event.STARTED, at=5.0, explanation="hello; 3 tasks"))
        self.assertRegex(alert.id, "^[0-9a-f]{16}$")
        ids = {daemon_alert(event, "", at).id for event in (Event.STARTED, Event.STOPPED) for at in (5.0, 5.001)}
        self.assertEqual(len(ids), 4)


_moments = st.lists(
    st.tuples(
        st.sampled_from([Kind.OK, Kind.SLEEPING, *ERRORS, None]),
        st.sampled_from([1.0, 60.0, 300.0, 1000.0]),
        st.sampled_from([False, False, True]),
    ),
    max_size=40,
)


class AnyStoryTests(SynchronousTestCase):
    @thorough
    @given(_moments, st.integers(1, 4), st.sampled_from([0.0, 60.0, 480.0]))
    def test_as_the_model(
        self, moments: list[tuple[Kind | None, float, bool]], failures: int, error_interval: float
    ) -> None:
        """The contract's rules as a plain program; None is time passing without a check."""
        story = Story(replace(TASK, failures=failures, error_interval=error_interval))
        expected: list[tuple[Event, Instant]] = []
        now, row, opened, told = 0.0, 0, None, 0.0
        latest: Kind | None = None
        for kind, wait, clock_wrong in moments:
            now += wait
            if kind is None:
                story.remind(now)
            else:
                story.step(kind, now, clock_wrong=clock_wrong)
            error = (kind or latest) in ERRORS
            due = error and opened is not None and 0 < error_interval <= now - told
            if kind is None:
                if due:
                    expected.append((Event.REMINDER, now))
                    told = now
                continue
            latest = kind
            if error:
                doubtful = clock_wrong and kind in (Kind.LATE, Kind.FUTURE)
                row += not doubtful
                if opened is None and row >= failures and not doubtful:
                    opened, told = kind, now
                    expected.append((Event.PROBLEM, now))
                elif opened is not None:
                    if opened is not kind or due:
                        expected.append((Event.REMINDER if opened is kind else Event.CHANGED, now))
                        told = now if due else told
                    opened = kind
            elif kind is Kind.OK:
                if opened is not None:
                    expected.append((Event.RECOVERED, now))
                row, opened = 0, None
        self.assertEqual([(alert.event, alert.at) for alert in story.alerts], expected)

        self.assertEqual(len({alert.id for alert in story.alerts}), len(story.alerts))
        ends = [a.event for a in story.alerts if a.event in (Event.PROBLEM, Event.RECOVERED)]
        self.assertEqual(ends, [Event.PROBLEM, Event.RECOVERED] * (len(ends) // 2) + [Event.PROBLEM] * (len(ends) % 2))
        checks = [kind for kind, _, _ in moments if kind is not None]
        self.assertEqual(story.state.pings, len(checks))
        self.assertEqual(story.state.errors, sum(status_of(kind) is Status.ERROR for kind in checks))
        # A stored state reads back.
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(story.state), type=TaskState), story.state)


_KINDS = {Kind.FAILED, Kind.FUTURE, Kind.LATE}


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
        if not interval or (kind in _KINDS and all(night.asleep)):
            self.assertIsNone(reminder)
        else:
            first = opened + interval * 60.0
            expected = night.wake(max(first, now)) if kind in _KINDS and night.at(max(first, now)) else first
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
        verdict = judge(finding, TASK.grace, at)
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
        late = Check(700.0, 0.1, finding, judge(finding, 60, 700.0))
        state, (problem,) = step(TASK, TaskState(), late)
        self.assertEqual((problem.lastrun, problem.due), (0.0, 600.0))
        down = NoAnswer(Fault.DNS, "x", 0.1)
        _, (changed,) = step(TASK, state, Check(760.0, 0.1, down, judge(down, 60, 760.0)))
        self.assertEqual((changed.lastrun, changed.due), (0.0, None))
        _, (closed,) = close(TASK, state, 800.0, "x")
        self.assertEqual((closed.lastrun, closed.due), (None, None))
