"""What pushes change, and how a task that pushes is judged without one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain import incidents
from pypinger.domain.kinds import Kind
from pypinger.domain.model import (
    Check,
    Finding,
    Incident,
    Instant,
    Invalid,
    Report,
    Reported,
    Task,
    TaskState,
    Verdict,
    Window,
)
from pypinger.domain.pushes import UNEXPECTED, Action, Ping, Push, PushedReport, judge_again, judge_push, take

#: Sunday, 2026-11-22 22:18:34 UTC.
NOW = 1_795_385_914.0
RID, OTHER = "0f0f0f0f-0000-4000-8000-000000000001", "0f0f0f0f-0000-4000-8000-000000000002"


def task(**settings: object) -> Task:
    return Task(url=None, id="b1", name="Backup", label="", push_key="k" * 16, **settings)  # type: ignore[arg-type]


def as_it_is(text: str) -> str:
    return text


def taken(state: TaskState, push: Push, now: Instant = NOW) -> TaskState:
    """The state with the report that a push has made."""
    after, finding = take(state, push, now, as_it_is)
    return replace(after, report=finding.report) if isinstance(finding, Reported) else after


def pings(*said: tuple[float, Ping]) -> Report:
    """The report after pings at these seconds after NOW."""
    state = TaskState()
    for at, ping in said:
        state = taken(state, ping, NOW + at)
    assert state.report is not None
    return state.report


START, SUCCESS, FAIL, LOG = (Ping(action) for action in (Action.START, Action.SUCCESS, Action.FAIL, Action.LOG))


class PingTests(SynchronousTestCase):
    def test_success(self) -> None:
        self.assertEqual(pings((0, SUCCESS)), Report(ok=True, lastrun=NOW))
        self.assertEqual(pings((0, FAIL), (5, SUCCESS)), Report(ok=True, lastrun=NOW + 5))

    def test_start(self) -> None:
        report = pings((0, SUCCESS), (60, START))
        self.assertEqual(report, Report(ok=True, lastrun=NOW, started=NOW + 60))
        self.assertTrue(report.running)
        first = pings((0, START))
        self.assertEqual((first, first.running), (Report(ok=True, lastrun=None, started=NOW), True))

    def test_start_keeps_the_status(self) -> None:
        report = pings((0, replace(FAIL, body=b"disk full")), (60, START))
        self.assertEqual((report.ok, report.reason, report.running), (False, "disk full", True))

    def test_the_end_of_a_run(self) -> None:
        for end in (SUCCESS, FAIL):
            report = pings((0, START), (30, end))
            self.assertEqual((report.lastrun, report.started, report.running), (NOW + 30, NOW, False))

    def test_a_run_without_start_is_not_the_one_before(self) -> None:
        self.assertIsNone(pings((0, START), (30, SUCCESS), (90, SUCCESS)).started)
        self.assertIsNone(pings((0, START), (30, SUCCESS), (90, FAIL)).started)

    def test_rid(self) -> None:
        """A success with another rid than the start's leaves the run under way; without one it does not."""
        start = replace(START, rid=RID)
        for rid, running in ((RID, False), (None, False), (OTHER, True)):
            report = pings((0, start), (30, replace(SUCCESS, rid=rid)))
            self.assertEqual((report.lastrun, report.started, report.running), (NOW + 30, NOW, running))
        without = pings((0, START), (30, replace(SUCCESS, rid=RID)))
        self.assertTrue(without.running)

    def test_a_failure_ends_the_run_of_any_rid(self) -> None:
        report = pings((0, replace(START, rid=RID)), (30, replace(FAIL, rid=OTHER)))
        self.assertEqual((report.ok, report.running), (False, False))

    def test_the_run_is_still_known_after_another_ended(self) -> None:
        state = TaskState()
        for at, ping in ((0, replace(START, rid=RID)), (30, replace(SUCCESS, rid=OTHER))):
            state = taken(state, ping, NOW + at)
        self.assertEqual(state.rid, RID)
        state = taken(state, replace(SUCCESS, rid=RID), NOW + 60)
        assert state.report is not None
        self.assertEqual((state.rid, state.report.running, state.report.started), (None, False, NOW))

    def test_reason(self) -> None:
        def reason(body: bytes, code: int | None = None) -> str | None:
            return pings((0, Ping(Action.FAIL, None, code, body))).reason

        self.assertEqual(reason(b" disk full\n"), "disk full")
        self.assertEqual(reason(b"disk \xff full"), "disk \N{REPLACEMENT CHARACTER} full")
        self.assertEqual(len(reason(b"x" * 10_000) or ""), 500)
        self.assertEqual((reason(b""), reason(b"", 3), reason(b"no space", 3)), (None, "exit code 3", "no space"))

    def test_reasons_hold_no_secret(self) -> None:
        _, finding = take(TaskState(), replace(FAIL, body=b"hunter22"), NOW, lambda text: text.replace("hunter22", "*"))
        assert isinstance(finding, Reported)
        self.assertEqual(finding.report.reason, "*")

    def test_log(self) -> None:
        before = TaskState(report=Report(ok=False, lastrun=NOW), rid=RID)
        self.assertEqual(take(before, LOG, NOW + 5, as_it_is), (before, None))

    def test_pings_keep_what_reports_have_said(self) -> None:
        report = Report(ok=True, lastrun=NOW, frequency=60.0, server="db1", sleep=(Window(0, 60.0),))
        state = taken(taken(TaskState(), PushedReport(Reported(200, report))), FAIL, NOW + 5)
        self.assertEqual(state.report, replace(report, ok=False, lastrun=NOW + 5))

    def test_failures(self) -> None:
        self.assertEqual([ping.failure for ping in (START, SUCCESS, FAIL, LOG)], [False, False, True, False])


class ReportTests(SynchronousTestCase):
    def test_report(self) -> None:
        report = Report(ok=False, lastrun=NOW - 5, reason="disk full")
        pushed = PushedReport(Reported(200, report))
        self.assertEqual(take(TaskState(rid=RID), pushed, NOW, as_it_is), (TaskState(), Reported(200, report)))
        self.assertTrue(pushed.failure)

    def test_started_only(self) -> None:
        """It sets ``started`` and nothing else, once there is a report."""
        begun = PushedReport(Reported(200, Report(ok=True, lastrun=None, started=NOW + 60, frequency=5.0)))
        kept = Report(ok=False, lastrun=NOW, frequency=60.0, reason="disk full")
        self.assertEqual(taken(TaskState(report=kept), begun).report, replace(kept, started=NOW + 60))
        self.assertEqual(taken(TaskState(), begun).report, Report(True, None, 5.0, started=NOW + 60))

    def test_started_only_before_the_first_end(self) -> None:
        """Its status would be that of the run before, and there is none."""
        begun = PushedReport(Reported(200, Report(False, None, 5.0, reason="disk full", started=NOW)))
        self.assertEqual(taken(TaskState(), begun).report, Report(True, None, 5.0, started=NOW))

    def test_invalid(self) -> None:
        before, finding = TaskState(report=Report(ok=True, lastrun=NOW)), Invalid(200, "status is missing")
        pushed = PushedReport(finding)
        self.assertEqual(take(before, pushed, NOW, as_it_is), (before, finding))
        self.assertFalse(pushed.failure)


class JudgeTests(SynchronousTestCase):
    def test_late_is_never_before_our_start_and_grace(self) -> None:
        report = Report(ok=True, lastrun=NOW - 660.5)
        state = TaskState(report=report, verdict=Verdict(Kind.OK, "…"))
        verdict = judge_again(task(), state, NOW, NOW + 60)
        self.assertEqual((verdict.kind, verdict.next_change), (Kind.OK, NOW + 60.001))
        self.assertIn("was due 22:17:33 UTC; grace 1 min; not late before", verdict.explanation)
        self.assertEqual(judge_again(task(), state, NOW + 60.001, NOW + 60).kind, Kind.LATE)
        self.assertEqual(judge_push(Reported(200, report), task(), state, NOW, NOW + 60).kind, Kind.OK)

    def test_late_before_a_restart_stays_late(self) -> None:
        state = TaskState(report=Report(ok=True, lastrun=NOW - 3600), verdict=Verdict(Kind.LATE, "…"))
        self.assertEqual(judge_again(task(), state, NOW, NOW + 60).kind, Kind.LATE)

    def test_sleep_begins_before_a_task_may_be_late(self) -> None:
        report = Report(ok=True, lastrun=NOW - 3600, sleep=(Window(22 * 3600 + 19 * 60, 600.0),))
        verdict = judge_again(task(), TaskState(report=report), NOW, NOW + 60)
        self.assertEqual((verdict.kind, verdict.next_change), (Kind.OK, NOW + 26))

    def test_invalid_stays_invalid(self) -> None:
        verdict = Verdict(Kind.INVALID, "not a valid report: status is missing", next_change=NOW)
        state = TaskState(report=Report(ok=True, lastrun=NOW), verdict=verdict)
        self.assertEqual(judge_again(task(), state, NOW, NOW - 60), replace(verdict, next_change=None))


class AwaitedTests(SynchronousTestCase):
    """A task that has never reported."""

    def judged(self, task: Task, at: Instant, ready: Instant = NOW + 60, kind: Kind = Kind.NEW) -> Verdict:
        state = TaskState(configured=NOW, verdict=Verdict(kind, "…"))
        return judge_again(task, state, at, ready)

    def test_without_frequency(self) -> None:
        self.assertEqual(self.judged(task(), NOW + 1e9), Verdict(Kind.NEW, UNEXPECTED))

    def test_frequency(self) -> None:
        of = task(frequency=10.0)
        new = self.judged(of, NOW + 660)
        self.assertEqual((new.kind, new.due, new.next_change), (Kind.NEW, NOW + 600, NOW + 660.001))
        self.assertEqual(
            new.explanation,
            "no push yet; configured 2026-11-22 22:18:34 UTC, runs every 10 min, due 22:28:34 UTC; grace 1 min",
        )
        late = self.judged(of, NOW + 660.001)
        self.assertEqual((late.kind, late.due, late.next_change), (Kind.LATE, NOW + 600, None))
        self.assertIn("was due 22:28:34 UTC", late.explanation)

    def test_schedule(self) -> None:
        of = task(schedule="0 3 * * *", timezone="Europe/Berlin", grace=0.0)
        new = self.judged(of, NOW)
        self.assertEqual((new.kind, new.due), (Kind.NEW, NOW + 13_286))
        self.assertIn("due 2026-11-23 03:00 Europe/Berlin", new.explanation)
        self.assertEqual(self.judged(of, NOW + 13_286.001).kind, Kind.LATE)

    def test_not_before_our_start_and_grace(self) -> None:
        of = task(frequency=10.0)
        waiting = self.judged(of, NOW + 900, NOW + 950)
        self.assertEqual((waiting.kind, waiting.next_change), (Kind.NEW, NOW + 950.001))
        self.assertEqual(self.judged(of, NOW + 900, NOW + 950, Kind.LATE).kind, Kind.LATE)

    def test_sleep(self) -> None:
        """Sleep postpones the first due time; what is late sleeps like all others."""
        asleep = (Window(22 * 3600 + 20 * 60, 1200.0),)
        of = task(frequency=10.0, sleep=asleep)
        self.assertEqual(self.judged(of, NOW + 700).due, NOW + 686 + 1200 - 600 + 600)
        late = self.judged(of, NOW + 5000)
        self.assertEqual(late.kind, Kind.LATE)
        again = self.judged(of, NOW + 86_400, kind=Kind.LATE)
        self.assertEqual((again.kind, again.next_change), (Kind.LATE, NOW + 86_486))
        nap = self.judged(of, NOW + 86_500, kind=Kind.LATE)
        self.assertEqual((nap.kind, nap.sleep_end, nap.next_change), (Kind.SLEEPING, NOW + 87_686, NOW + 87_686))

    def test_asleep_all_day(self) -> None:
        verdict = self.judged(task(frequency=10.0, sleep=(Window(0, 86_400.0),)), NOW + 1e6)
        self.assertEqual((verdict.kind, verdict.due), (Kind.NEW, None))


class Story:
    """A push task over time, judged as the daemon does."""

    def __init__(self, task: Task, state: TaskState | None = None, ready: Instant = NOW - 3600) -> None:
        self.task = task
        self.state = TaskState() if state is None else state
        self.ready = ready
        self.events: list[str] = []

    def push(self, push: Push, at: Instant) -> None:
        state, finding = take(self.state, push, at, as_it_is)
        assert finding is not None
        self._step(state, finding, judge_push(finding, self.task, self.state, at, self.ready), at)

    def again(self, at: Instant) -> None:
        self._step(self.state, None, judge_again(self.task, self.state, at, self.ready), at)

    def until(self, end: Instant) -> None:
        """Judge again whenever that is due."""
        while (verdict := self.state.verdict) and verdict.next_change is not None and verdict.next_change <= end:
            self.again(verdict.next_change)

    def _step(self, state: TaskState, finding: Finding | None, verdict: Verdict, at: Instant) -> None:
        self.state, alerts = incidents.step(self.task, state, Check(at, 0.0, finding, verdict))
        self.events += [alert.event.value for alert in alerts]


class StepTests(SynchronousTestCase):
    def test_what_counts(self) -> None:
        """A push counts as a check, judging again does not."""
        story = Story(task())
        story.push(SUCCESS, NOW)
        story.until(NOW + 3600)
        self.assertEqual(
            (story.state.kind, story.state.pings, story.state.errors, story.state.checked, story.state.judged),
            (Kind.LATE, 1, 0, NOW, NOW + 660.001),
        )
        story.push(FAIL, NOW + 7200)
        self.assertEqual(
            (story.state.pings, story.state.errors, story.state.checked, story.state.judged),
            (2, 1, NOW + 7200, None),
        )
        self.assertEqual((story.state.latency, story.events), (None, ["problem", "changed"]))

    def test_late_completes_a_row(self) -> None:
        """Without further pushes a late task is judged again at its interval until its incident opens."""
        story = Story(task(failures=3, interval=60.0))
        story.push(SUCCESS, NOW)
        story.until(NOW + 660.1)
        self.assertEqual((story.events, story.state.row), ([], 1))
        story.until(NOW + 3600)
        self.assertEqual((story.events, story.state.row), (["problem"], 3))
        assert story.state.incident is not None
        self.assertEqual(story.state.judged, NOW + 660.001 + 120)

    def test_late_while_our_clock_is_wrong(self) -> None:
        """It opens no incident, and is judged again until it may."""
        of, report = task(), Report(ok=True, lastrun=NOW - 3600)
        state = TaskState(report=report)
        check = Check(NOW, 0.0, None, judge_again(of, state, NOW, NOW - 60))
        state, alerts = incidents.step(of, state, check, clock_wrong=True)
        assert state.verdict is not None
        self.assertEqual((alerts, state.verdict.next_change), ((), NOW + 60))
        check = Check(NOW + 60, 0.0, None, judge_again(of, state, NOW + 60, NOW - 60))
        state, alerts = incidents.step(of, state, check)
        self.assertEqual([alert.event.value for alert in alerts], ["problem"])
        assert state.verdict is not None
        self.assertIsNone(state.verdict.next_change)

    def test_hold(self) -> None:
        """An invalid push opens an incident once it has stood for ``unreachable_for``."""
        story = Story(task(unreachable_for=90.0))
        story.push(PushedReport(Invalid(200, "status is missing")), NOW)
        self.assertEqual(story.events, [])
        story.until(NOW + 89)
        self.assertEqual(story.events, [])
        story.until(NOW + 90)
        self.assertEqual((story.events, story.state.kind, story.state.pings), (["problem"], Kind.INVALID, 1))

    def test_flapping_ends(self) -> None:
        """The end of flapping comes without a push, 30 min after the last change."""
        story = Story(task(flap_incidents=2, frequency=1440.0))
        for number in range(2):
            story.push(FAIL, NOW + 20 * number)
            story.push(SUCCESS, NOW + 20 * number + 10)
        self.assertEqual(story.events, ["problem", "recovered", "flapping"])
        story.until(NOW + 30 + 1799)
        self.assertEqual(len(story.events), 3)
        story.until(NOW + 30 + 1801)
        self.assertEqual(story.events[3:], ["recovered"])

    def test_closing_forgets_when_it_was_configured(self) -> None:
        state, alerts = incidents.close(task(), TaskState(configured=NOW), NOW + 5, "it was removed")
        self.assertEqual((state, alerts), (TaskState(), ()))
        state = TaskState(configured=NOW, incident=Incident(NOW, Kind.LATE, NOW, 0, told=False))
        self.assertEqual(incidents.close(task(), state, NOW + 5, "it was removed"), (TaskState(), ()))

    @given(
        st.lists(
            st.tuples(
                st.integers(1, 2000),
                st.sampled_from([SUCCESS, FAIL, START, replace(START, rid=RID), replace(SUCCESS, rid=OTHER)]),
            ),
            max_size=8,
        ),
        st.sampled_from([{}, {"frequency": 3.0}, {"frequency": 7.0, "max_runtime": 2.0}, {"schedule": "*/10 * * * *"}]),
        st.lists(st.builds(Window, st.integers(0, 86_399), st.floats(1, 40_000)), max_size=2),
        st.integers(-4000, 4000),
    )
    def test_a_verdict_stands_until_its_next_change(
        self, said: list[tuple[int, Ping]], settings: dict[str, object], windows: list[Window], started: int
    ) -> None:
        """
        Judged again and again, a task gets the verdicts that it gets when it is judged at its next changes only; and it
        is never late before our start and grace.
        """
        of = task(**settings, sleep=tuple(windows), grace=60.0)
        configured = TaskState(configured=NOW)
        lazy, eager = (Story(of, configured, NOW + started + 60) for _ in range(2))
        for story in (lazy, eager):
            story.again(NOW)
        at, rest = NOW, list(said)
        due = NOW
        for _ in range(100):
            at += 40.0
            while rest and due + rest[0][0] <= at:
                after, ping = rest.pop(0)
                due += after
                lazy.until(due)
                for story in (lazy, eager):
                    story.push(ping, due)
            lazy.until(at)
            eager.again(at)
            self.assertEqual(lazy.state.kind, eager.state.kind, (at - NOW, lazy.state.verdict, eager.state.verdict))
            if eager.state.kind is Kind.LATE:
                self.assertGreater(at, NOW + started + 60)
