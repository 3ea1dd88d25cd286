"""Tests for :mod:`pypinger.domain.replay`: when checks would have been made, and the alerts of that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import (
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
    Window,
)
from pypinger.domain.recorded import FindingRun
from pypinger.domain.replay import Line, Notice, Records, compare, replay
from tests.domain.strategies import quick

#: On a whole day.
START = 1_793_664_000.0

P, C, M, R = Event.PROBLEM, Event.CHANGED, Event.REMINDER, Event.RECOVERED
FAULT = NoAnswer(Fault.REFUSED, "connection refused", 0.1)


def task(**settings: object) -> Task:
    values: dict[str, object] = {"error_interval": 0.0, **settings}
    return Task(url="http://host/a", id="a", name="a", label="http://host/a", **values)  # type: ignore[arg-type]


def ran(at: float, *, ok: bool = True, sleep: tuple[Window, ...] = ()) -> Finding:
    """A report of a run at so many seconds, every ten minutes."""
    return Reported(200, Report(ok=ok, lastrun=START + at, sleep=sleep))


def run(first: float, last: float, finding: Finding, count: int | None = None) -> FindingRun:
    """A run from and to so many seconds, checked every minute unless it is said."""
    return FindingRun(START + first, START + last, 1 + round((last - first) / 60) if count is None else count, finding)


def records(*found: FindingRun, **others: object) -> Records:
    return Records(found, **others)  # type: ignore[arg-type]


def notice(at: float, event: Event = M, kind: Kind = Kind.UNREACHABLE) -> Notice:
    return Notice(START + at, event, kind, "why")


class ReplayCase(SynchronousTestCase):
    def assertAlerts(self, task: Task, given: Records, *expected: tuple[float, Event, Kind]) -> None:
        replayed = [(round(each.at - START, 2), each.event, each.kind) for each in replay(task, given)]
        self.assertEqual(replayed, list(expected))


class DeadlineTests(ReplayCase):
    def test_nothing_found(self) -> None:
        self.assertAlerts(task(), records(given=[notice(0)]))

    def test_within_a_run(self) -> None:
        found = run(0, 1200, ran(0)), run(1260, 1260, ran(1250))
        for grace in (60.0, 0.0, 400.0):
            late = 600 + grace
            self.assertAlerts(task(grace=grace), records(*found), (late, P, Kind.LATE), (1260, R, Kind.OK))
        self.assertAlerts(task(grace=700.0), records(*found))

    def test_schedules_of_the_ini_file(self) -> None:
        """START is 00:00 UTC; the task ran at 00:00 and at 00:20."""
        found = run(0, 1200, ran(0)), run(1260, 1260, ran(1200))
        for settings, late in [
            ({"frequency": 5.0}, 300),
            ({"schedule": "15 * * * *"}, 900),
            ({"schedule": "15 0 * * *", "max_runtime": 4.0}, 1140),
            ({"schedule": "15 1 * * *", "timezone": "Europe/Berlin"}, 900),
        ]:
            self.assertAlerts(task(**settings), records(*found), (late + 60.0, P, Kind.LATE), (1260, R, Kind.OK))
        for settings in [
            {"frequency": 30.0},
            {"schedule": "30 * * * *"},
            {"schedule": "15 0 * * *", "max_runtime": 10.0},
            {"sleep": (Window(0, 3600.0),)},
        ]:
            self.assertAlerts(task(**settings), records(*found))

    def test_runs_that_take_time(self) -> None:
        """A run began at 600 s and may take ten minutes; the report of its end is there after 1,250 s."""
        begun = Reported(200, Report(True, START, started=START + 600, max_runtime=10.0))
        ended = Reported(200, Report(True, START + 1250, started=START + 600, max_runtime=10.0))
        found = run(0, 600, ran(0)), run(660, 1200, begun), run(1320, 1320, ended)
        self.assertAlerts(task(grace=60.0), records(*found))
        self.assertAlerts(task(grace=60.0, max_runtime=5.0), records(*found), (960, P, Kind.LATE), (1320, R, Kind.OK))

    def test_the_check_at_a_deadline_is_the_next_run(self) -> None:
        found = run(0, 600, ran(0)), run(660.1, 720, ran(0)), run(780, 780, ran(750))
        self.assertAlerts(task(), records(*found), (660.1, P, Kind.LATE), (780, R, Kind.OK))

    def test_a_new_report_comes_with_the_check_at_the_deadline(self) -> None:
        for came in (660.01, 670.0, 680.5):
            self.assertAlerts(task(), records(run(0, 600, ran(0)), run(came, 720, ran(came - 0.001))))

    def test_between_two_runs_the_earlier_lasts(self) -> None:
        found = run(0, 600, ran(0)), run(690, 720, FAULT)
        self.assertAlerts(task(grace=2.0), records(*found), (602, P, Kind.LATE), (690, C, Kind.UNREACHABLE))

    def test_a_run_before_the_deadline_counts(self) -> None:
        late = task(grace=62.0)
        self.assertAlerts(late, records(run(0, 600, ran(0)), run(700, 720, ran(650))))
        self.assertAlerts(
            late, records(run(0, 600, ran(0)), run(700, 720, ran(663))), (662, P, Kind.LATE), (700, R, Kind.OK)
        )
        failed = records(run(0, 600, ran(0)), run(700, 700, ran(650, ok=False)))
        self.assertAlerts(late, failed, (662, P, Kind.FAILED))

    def test_a_failure_may_take_its_time(self) -> None:
        slow = NoAnswer(Fault.TIMEOUT, "no answer", 20.0)
        found = run(0, 600, ran(0)), run(705, 705, slow)
        self.assertAlerts(task(), records(*found), (705, P, Kind.UNREACHABLE))
        self.assertAlerts(task(grace=50.0), records(*found), (650, P, Kind.LATE), (705, C, Kind.UNREACHABLE))

    def test_after_the_last_run_nothing_is_known(self) -> None:
        self.assertAlerts(task(), records(run(0, 600, ran(0))))

    def test_sleep(self) -> None:
        windows = (Window(1200, 600.0),)
        found = run(0, 2400, ran(0, ok=False, sleep=windows)), run(2460, 2460, ran(2450, sleep=windows))
        alerts = [(0, P, Kind.FAILED), (500, M, Kind.FAILED), (1000, M, Kind.FAILED)]
        alerts += [(1800, M, Kind.FAILED), (2300, M, Kind.FAILED), (2460, R, Kind.OK)]
        self.assertAlerts(task(error_interval=500.0, error_interval_max=500.0), records(*found), *alerts)


class RowTests(ReplayCase):
    def test_failures(self) -> None:
        found = run(0, 60, ran(0)), run(120, 360, FAULT), run(420, 420, ran(400))
        for failures, at in ((1, 120), (2, 180), (4, 300), (5, 360)):
            lines = (at, P, Kind.UNREACHABLE), (420, R, Kind.OK)
            self.assertAlerts(task(failures=failures), records(*found), *lines)
            self.assertEqual(replay(task(failures=failures), records(*found))[-1].event, R)
        self.assertAlerts(task(failures=6), records(*found))

    def test_a_run_that_began_at_a_deadline(self) -> None:
        found = run(30, 240, FAULT, 5), run(300, 300, ran(290))
        self.assertAlerts(task(failures=2), records(*found), (60, P, Kind.UNREACHABLE), (300, R, Kind.OK))
        self.assertAlerts(task(failures=5), records(*found), (240, P, Kind.UNREACHABLE), (300, R, Kind.OK))

    def test_checked_at_another_interval(self) -> None:
        found = (run(0, 300, FAULT, 4),)
        self.assertAlerts(task(failures=2), records(*found), (100, P, Kind.UNREACHABLE))
        self.assertAlerts(task(failures=4), records(*found), (300, P, Kind.UNREACHABLE))

    def test_blind_times_hold_no_check(self) -> None:
        blind = [(START + 130, START + 1130), (START + 120, START + 140)]
        found = (run(0, 1310, FAULT, 6),)
        expected = {2: 60, 3: 1130, 4: 1190, 5: 1250, 6: 1310}
        for failures in range(2, 7):
            replayed = replay(task(failures=failures), records(*found, blind=blind))
            self.assertLess(abs(replayed[0].at - START - expected[failures]), 60)

    def test_blind_for_other_tasks_only(self) -> None:
        found = (run(0, 100, FAULT, 5),)
        self.assertAlerts(
            task(failures=3), records(*found, blind=[(START - 10, START + 200)]), (50, P, Kind.UNREACHABLE)
        )

    def test_late_counts_from_its_deadline(self) -> None:
        found = (run(0, 1200, ran(0)),)
        self.assertAlerts(task(failures=2), records(*found), (720, P, Kind.LATE))


class ReminderTests(ReplayCase):
    def test_by_timer(self) -> None:
        found = run(0, 1000, FAULT), run(1060, 1060, ran(1050))
        lines = (0, P, Kind.UNREACHABLE), (450, M, Kind.UNREACHABLE), (900, M, Kind.UNREACHABLE), (1060, R, Kind.OK)
        self.assertAlerts(task(error_interval=450.0, error_interval_max=450.0), records(*found), *lines)

    def test_as_they_were_given(self) -> None:
        found = run(0, 1000, FAULT), run(1060, 1060, ran(1050))
        reminders = [notice(450.4), notice(900.9)]
        lines = (0, P, Kind.UNREACHABLE), (450.4, M, Kind.UNREACHABLE), (900.9, M, Kind.UNREACHABLE)
        self.assertAlerts(
            task(error_interval=450.0, error_interval_max=450.0),
            records(*found, given=reminders),
            *lines,
            (1060, R, Kind.OK),
        )

    def test_after_the_last_check(self) -> None:
        found = (run(0, 400, FAULT),)
        self.assertAlerts(task(error_interval=450.0), records(*found), (0, P, Kind.UNREACHABLE))
        lines = (0, P, Kind.UNREACHABLE), (450.1, M, Kind.UNREACHABLE)
        self.assertAlerts(task(error_interval=450.0), records(*found, given=[notice(450.1)]), *lines)

    def test_left_to_the_check_that_may_be_under_way(self) -> None:
        found = run(0, 420, FAULT), run(480.1, 480.1, ran(450))
        self.assertAlerts(task(error_interval=480.0), records(*found), (0, P, Kind.UNREACHABLE), (480.1, R, Kind.OK))
        found = run(0, 420, FAULT), run(480.1, 480.1, Invalid(200, "x"))
        lines = (0, P, Kind.UNREACHABLE), (480.1, C, Kind.INVALID)
        self.assertAlerts(task(error_interval=480.0), records(*found), *lines)

    def test_reminders_repeat_the_verdict(self) -> None:
        replayed = replay(task(error_interval=480.0), records(run(0, 1000, ran(0)), run(1060, 1060, ran(1050))))
        self.assertEqual([each.event for each in replayed], [P, R])
        replayed = replay(task(error_interval=300.0), records(run(0, 1000, ran(0)), run(1060, 1060, ran(1050))))
        self.assertEqual([each.event for each in replayed], [P, M, R])
        self.assertIn("was due 00:10:00 UTC", replayed[1].explanation)

    def test_a_verdict_that_has_changed_unseen_is_not_told(self) -> None:
        # The deadline of the sleep lies in blind time, so no check saw it begin.
        windows = (Window(1200, 600.0),)
        found = (run(0, 3000, ran(0, ok=False, sleep=windows), 30),)
        blind = [(START + 1100, START + 1300)]
        lines = (0, P, Kind.FAILED), (1800, M, Kind.FAILED), (2950, M, Kind.FAILED)
        self.assertAlerts(task(error_interval=1150.0, error_interval_max=1150.0), records(*found, blind=blind), *lines)

    def test_one_due_in_a_sleep_that_no_check_saw_waits_for_its_end(self) -> None:
        windows = (Window(1200, 600.0),)
        found = (run(0, 3000, ran(0, ok=False, sleep=windows), 30),)
        blind = [(START + 1100, START + 1300)]
        lines = (0, P, Kind.FAILED), (1800, M, Kind.FAILED)
        self.assertAlerts(task(error_interval=1400.0), records(*found, blind=blind), *lines)


class BlindTests(ReplayCase):
    def test_no_deadline_is_met(self) -> None:
        found = run(0, 600, ran(0)), run(3000, 3000, ran(2950))
        for blind in ((610, 2999), (670, 2999), (100, 2999)):
            self.assertAlerts(task(), records(*found, blind=[(START + blind[0], START + blind[1])]))

    def test_a_deadline_may_be_put_off_by_a_check_that_saw_nothing(self) -> None:
        found = run(0, 600, ran(0)), run(720, 720, ran(662))
        self.assertAlerts(task(), records(*found), (660, P, Kind.LATE), (720, R, Kind.OK))
        self.assertAlerts(task(), records(*found, blind=[(START + 610, START + 655)]))

    def test_a_gap_is_blind_time(self) -> None:
        self.assertAlerts(task(), records(run(0, 600, ran(0)), run(9000, 9000, ran(8950))))
        found = run(0, 600, ran(0)), run(750, 750, ran(740))
        self.assertAlerts(task(), records(*found), (660, P, Kind.LATE), (750, R, Kind.OK))

    def test_no_gap_where_checks_were_rare(self) -> None:
        found = [run(300.0 * n, 300.0 * n, ran(300.0 * n - 1)) for n in range(9)]
        found += run(2700, 3300, ran(2699), 3), run(3600, 3600, ran(3590))
        self.assertAlerts(task(interval=10.0), records(*found), (2699 + 660, P, Kind.LATE), (3600, R, Kind.OK))

    def test_a_reminder_waits(self) -> None:
        found = run(0, 420, FAULT), run(3000, 3000, FAULT), run(3060, 3060, ran(3050))
        lines = (0, P, Kind.UNREACHABLE), (3000, M, Kind.UNREACHABLE), (3060, R, Kind.OK)
        for spans in ([(425, 2999)], [(425, 1000), (1005, 2999)]):
            blind = [(START + start, START + end) for start, end in spans]
            self.assertAlerts(task(error_interval=480.0), records(*found, blind=blind), *lines)

    def test_a_removed_task(self) -> None:
        found = run(0, 420, FAULT), run(480, 540, FAULT), run(600, 600, ran(590))
        lines = [(0, P, Kind.UNREACHABLE), (430, R, Kind.UNREACHABLE), (480, P, Kind.UNREACHABLE), (600, R, Kind.OK)]
        self.assertAlerts(task(), records(*found, removed=[START + 430]), *lines)
        replayed = replay(task(), records(*found, removed=[START + 430]))
        self.assertIn("no longer monitored", replayed[1].explanation)
        self.assertAlerts(task(failures=99), records(*found, removed=[START + 430]))
        end = records(run(0, 420, FAULT), removed=[START + 430])
        self.assertAlerts(task(), end, *lines[:2])


class BeginningTests(ReplayCase):
    incident = Incident(started=START - 700, kind=Kind.UNREACHABLE, reminded=START - 600, alerts=2)

    def test_an_open_incident_continues(self) -> None:
        found = run(0, 420, FAULT), run(480, 480, ran(470))
        lines = (0, M, Kind.UNREACHABLE), (480, R, Kind.OK)
        self.assertAlerts(task(error_interval=600.0), records(*found, incident=self.incident), *lines)

    def test_an_open_incident_ends(self) -> None:
        self.assertAlerts(task(failures=3), records(run(0, 0, ran(-9)), incident=self.incident), (0, R, Kind.OK))

    def test_an_open_incident_changes(self) -> None:
        found = run(0, 0, Invalid(200, "x"))
        self.assertAlerts(task(), records(found, incident=self.incident), (0, C, Kind.INVALID))


class CompareTests(SynchronousTestCase):
    def marks(self, alerts: list[Notice], replayed: list[Notice]) -> str:
        return "".join(line.mark for line in compare(alerts, replayed))

    def test_same(self) -> None:
        one, other = notice(0, P), Notice(START + 0.9, P, Kind.UNREACHABLE, "in other words")
        self.assertEqual(compare([one], [other]), [Line("=", one)])

    def test_differences(self) -> None:
        self.assertEqual(self.marks([notice(0, P)], []), "-")
        self.assertEqual(self.marks([], [notice(0, P)]), "+")
        self.assertEqual(self.marks([notice(0, P)], [notice(1.1, P)]), "-+")
        self.assertEqual(self.marks([notice(1.1, P)], [notice(0, P)]), "+-")
        self.assertEqual(self.marks([notice(0, P)], [notice(0, C)]), "-+")
        self.assertEqual(self.marks([notice(0, P)], [notice(0, P, Kind.LATE)]), "-+")
        self.assertEqual(self.marks([notice(0), notice(9), notice(18)], [notice(4), notice(9), notice(14)]), "-+=+-")

    @quick
    @given(st.lists(st.integers(0, 40)), st.lists(st.integers(0, 40)))
    def test_every_notice_is_there_once(self, one: list[int], other: list[int]) -> None:
        was, would = ([notice(at / 2) for at in sorted(each)] for each in (one, other))
        lines = compare(was, would)
        count = [line.mark for line in lines].count
        self.assertEqual((count("=") + count("-"), count("=") + count("+")), (len(was), len(would)))
        moments: list[Instant] = [line.notice.at for line in lines]
        self.assertEqual(moments, sorted(moments))
        self.assertEqual({line.mark for line in compare(was, was)}, {"="} if was else set())
