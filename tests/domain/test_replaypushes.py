"""Replay of tasks that push: with the same settings it gives the alerts that were given."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain import incidents, reminders
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Check, Event, Instant, Invalid, Report, Reported, Task, TaskState
from pypinger.domain.pushes import Action, Ping, Push, PushedReport, judge_again, judge_push, take
from pypinger.domain.recorded import FindingRun
from pypinger.domain.replay import Line, Notice, Records, compare
from pypinger.domain.replaypushes import replay_pushes

NOW = 1_795_385_914.0

SUCCESS, FAIL, START = (Ping(action) for action in (Action.SUCCESS, Action.FAIL, Action.START))
INVALID = PushedReport(Invalid(200, "status is missing"))


def task(**settings: object) -> Task:
    return Task(url=None, id="b1", name="Backup", label="", **settings)  # type: ignore[arg-type]


class Daemon:
    """What the daemon does with one task, and what it records of it."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.state = TaskState(configured=NOW)
        self.ready = NOW - 1e6
        self.now = NOW
        self.runs: list[FindingRun] = []
        self.given: list[Notice] = []
        self.blind: list[tuple[Instant, Instant]] = []
        self._again(NOW)

    def push(self, push: Push, at: Instant) -> None:
        self.until(at)
        state, finding = take(self.state, push, at, lambda text: text)
        assert finding is not None
        verdict = judge_push(finding, self.task, self.state, at, self.ready)
        self.runs.append(FindingRun(at, at, 1, finding))
        state, alerts = incidents.step(self.task, state, Check(at, 0.0, finding, verdict))
        self._keep(at, replace(state, configured=None if state.report else state.configured), alerts)

    def until(self, end: Instant) -> None:
        """Judge and remind when that is due, before a moment."""
        while True:
            assert self.state.verdict is not None
            moments = [("again", self.state.verdict.next_change)]
            moments.append(("remind", reminders.next_reminder(self.task, self.state, self.now)))
            due = [(max(at, self.now), what) for what, at in moments if at is not None and max(at, self.now) < end]
            if not due:
                return
            at, what = min(due)
            if what == "again":
                self._again(at)
            else:
                early = reminders.digest_span(self.task)
                self._keep(at, *reminders.remind(self.task, self.state, at, early))

    def restart(self, down: Instant, up: Instant) -> None:
        """Do not run for a while."""
        self.until(down)
        self.blind.append((down, up))
        self.now, self.ready = up, up + self.task.grace
        assert self.state.verdict is not None
        if self.state.verdict.next_change is not None and self.state.verdict.next_change < up:
            self._again(up)

    def replayed(self, end: Instant, task: Task | None = None) -> list[Line]:
        """Compare what was given with what a replay gives."""
        self.until(end)
        records = Records(self.runs, self.blind, self.given, end=end, configured=self.state.configured)
        return compare(self.given, replay_pushes(task or self.task, records))

    def _again(self, at: Instant) -> None:
        check = Check(at, 0.0, None, judge_again(self.task, self.state, at, self.ready))
        self._keep(at, *incidents.step(self.task, self.state, check))

    def _keep(self, at: Instant, state: TaskState, alerts: tuple[Alert, ...]) -> None:
        self.now, self.state = at, state
        for alert in alerts:
            assert alert.kind is not None
            self.given.append(Notice(alert.at, alert.event, alert.kind, alert.explanation))


def marks(lines: list[Line]) -> list[tuple[str, str]]:
    return [(line.mark, line.notice.event.value) for line in lines]


class ReplayTests(SynchronousTestCase):
    def test_other_settings(self) -> None:
        daemon = Daemon(task(frequency=10.0))
        daemon.push(SUCCESS, NOW)
        daemon.push(SUCCESS, NOW + 1000)
        self.assertEqual(marks(daemon.replayed(NOW + 1500)), [("=", "problem"), ("=", "recovered")])
        self.assertEqual(
            marks(daemon.replayed(NOW + 1500, task(frequency=20.0))), [("-", "problem"), ("-", "recovered")]
        )
        shorter = marks(daemon.replayed(NOW + 1500, task(frequency=5.0, error_interval=0.0)))
        self.assertEqual(shorter, [("+", "problem"), ("-", "problem"), ("=", "recovered"), ("+", "problem")])

    def test_late_after_the_last_push(self) -> None:
        daemon = Daemon(task(frequency=10.0, error_interval=0.0))
        daemon.push(SUCCESS, NOW)
        self.assertEqual(marks(daemon.replayed(NOW + 5000)), [("=", "problem")])
        records = Records(daemon.runs, (), daemon.given)
        self.assertEqual(marks(compare(daemon.given, replay_pushes(daemon.task, records))), [("-", "problem")])

    def test_reminders(self) -> None:
        daemon = Daemon(task(frequency=10.0, error_interval=600.0))
        daemon.push(SUCCESS, NOW)
        expected = [("=", "problem"), ("=", "reminder"), ("=", "reminder")]
        self.assertEqual(marks(daemon.replayed(NOW + 3000)), expected)

    def test_a_task_that_never_reported(self) -> None:
        daemon = Daemon(task(frequency=10.0, error_interval=0.0))
        self.assertEqual(marks(daemon.replayed(NOW + 5000)), [("=", "problem")])
        self.assertEqual(replay_pushes(daemon.task, Records((), end=NOW + 5000)), [])

    def test_late_while_py_pinger_was_blind(self) -> None:
        """Then it judges pushes as always, and the alert that was given tells."""
        daemon = Daemon(task(frequency=10.0, error_interval=0.0))
        daemon.push(SUCCESS, NOW)
        daemon.until(NOW + 1000)
        daemon.blind.append((NOW + 600, NOW + 900))
        self.assertEqual(marks(daemon.replayed(NOW + 1000)), [("=", "problem")])

    def test_removed(self) -> None:
        daemon = Daemon(task(error_interval=0.0))
        daemon.push(FAIL, NOW)
        removed = Notice(NOW + 100, Event.RECOVERED, Kind.FAILED, "no longer monitored")
        records = Records(daemon.runs, (), [*daemon.given, removed], [NOW + 100], end=NOW + 500)
        lines = compare(records.given, replay_pushes(daemon.task, records))
        self.assertEqual(marks(lines), [("=", "problem"), ("=", "recovered")])

    def test_an_incident_of_before(self) -> None:
        daemon = Daemon(task(error_interval=0.0))
        daemon.push(FAIL, NOW)
        incident = daemon.state.incident
        daemon.push(SUCCESS, NOW + 100)
        records = Records(daemon.runs[1:], (), daemon.given[1:], incident=incident, report=daemon.state.report)
        self.assertEqual(marks(compare(records.given, replay_pushes(daemon.task, records))), [("=", "recovered")])

    def test_a_report(self) -> None:
        daemon = Daemon(task())
        daemon.push(PushedReport(Reported(200, Report(ok=True, lastrun=NOW - 5000))), NOW)
        self.assertEqual(marks(daemon.replayed(NOW + 10)), [("=", "problem")])

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(1, 3000), st.sampled_from([SUCCESS, FAIL, START, INVALID, None])),
            min_size=1,
            max_size=10,
        ),
        st.sampled_from(
            [
                {"frequency": 10.0},
                {"frequency": 10.0, "failures": 2},
                {"frequency": 20.0, "unreachable_for": 300.0, "max_runtime": 5.0},
                {"schedule": "*/30 * * * *", "flap_incidents": 2},
            ]
        ),
    )
    def test_the_same_settings_give_the_same_alerts(
        self, story: list[tuple[int, Push | None]], settings: dict[str, object]
    ) -> None:
        daemon = Daemon(task(**settings))
        daemon.push(SUCCESS, NOW)
        at = NOW
        for after, push in story:
            at += after
            if push is None:
                daemon.restart(at, at + 500)
                at += 500
            else:
                daemon.push(push, at)
        self.assertEqual([line for line in daemon.replayed(at + 4000) if line.mark != "="], [])
