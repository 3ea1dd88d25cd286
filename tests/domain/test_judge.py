"""Tests for :mod:`pypinger.domain.judge`: section 2 of the contract, row by row and against a model."""

from __future__ import annotations

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.judge import RESOLUTION, judge, judge_again
from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Fault, Instant, Invalid, NoAnswer, Report, Reported, Seconds, Verdict, Window
from tests.domain.strategies import Night, any_windows, frequencies, minute_windows, minutes, quick, thorough

MINUTE = 60.0
DAY = 86_400.0
LASTRUN = datetime.fromisoformat("2026-11-03T21:55:00Z").timestamp()
DUE = LASTRUN + 10 * MINUTE
LATE = DUE + 60
NIGHT = (Window(22 * 3600, 8 * 3600.0),)


def reported(
    *,
    ok: bool = True,
    lastrun: Instant = LASTRUN,
    frequency: float = 10.0,
    sleep: tuple[Window, ...] = (),
    reason: str | None = None,
    code: int = 200,
) -> Reported:
    return Reported(code, Report(ok, lastrun, frequency, reason, sleep))


class TableTests(SynchronousTestCase):
    """The rows of the table, in its order."""

    def test_no_answer(self) -> None:
        verdict = judge(NoAnswer(Fault.TIMEOUT, "no answer\nwithin 20 s", 20.0), 60, LASTRUN)
        self.assertEqual(verdict, Verdict(Kind.UNREACHABLE, "no answer within 20 s"))
        self.assertEqual(verdict.status, Status.ERROR)

    def test_refusal_without_a_report(self) -> None:
        verdict = judge(Invalid(500, "the body is empty"), 60, LASTRUN)
        self.assertEqual(verdict, Verdict(Kind.UNREACHABLE, "HTTP 500 and no valid report: the body is empty"))
        for code in (199, 300, 304, 404):
            self.assertEqual(judge(Invalid(code, "x"), 60, LASTRUN).kind, Kind.UNREACHABLE)

    def test_invalid(self) -> None:
        verdict = judge(Invalid(200, "status is missing"), 60, LASTRUN)
        self.assertEqual(verdict, Verdict(Kind.INVALID, "not a valid report: status is missing (HTTP 200)"))
        self.assertEqual(judge(Invalid(299, "x"), 60, LASTRUN).kind, Kind.INVALID)
        self.assertEqual(verdict.status, Status.ERROR)

    def test_sleeping(self) -> None:
        start, end = LASTRUN + 5 * MINUTE, LASTRUN + 485 * MINUTE
        verdict = judge(reported(sleep=NIGHT), 60, start)
        self.assertEqual(
            verdict,
            Verdict(
                Kind.SLEEPING,
                "sleeps until 2026-11-04 06:00:00 UTC (window 22:00 for 480 min); last ran 21:55:00 UTC, 5 min ago; "
                "runs every 10 min; next due 2026-11-04 06:10:00 UTC (put off by its sleep)",
                due=end + 10 * MINUTE,
                next_change=end,
                sleep_start=start,
                sleep_end=end,
            ),
        )
        self.assertEqual(verdict.status, Status.SLEEPING)

    def test_sleep_comes_before_everything_in_a_report(self) -> None:
        now = LASTRUN + 6 * MINUTE
        for finding in [
            reported(sleep=NIGHT, ok=False),
            reported(sleep=NIGHT, code=503),
            reported(sleep=NIGHT, lastrun=LASTRUN + DAY),
            reported(sleep=NIGHT, lastrun=LASTRUN - DAY),
        ]:
            self.assertEqual(judge(finding, 60, now).kind, Kind.SLEEPING)

    def test_sleeps_to_the_second(self) -> None:
        start, end = LASTRUN + 5 * MINUTE, LASTRUN + 485 * MINUTE
        for now, kind in [(start - 1, Kind.OK), (start, Kind.SLEEPING), (end - 0.001, Kind.SLEEPING), (end, Kind.OK)]:
            self.assertEqual(judge(reported(sleep=NIGHT), 60, now).kind, kind)

    def test_window_that_starts_on_a_second(self) -> None:
        verdict = judge(reported(sleep=(Window(22 * 3600 + 5, 90.0),)), 60, LASTRUN + 5 * MINUTE + 5)
        self.assertIn("(window 22:00:05 for 1.5 min)", verdict.explanation)

    def test_sleeps_all_day(self) -> None:
        verdict = judge(reported(sleep=(Window(0, DAY),)), 60, LASTRUN + 3 * DAY)
        self.assertEqual(
            verdict,
            Verdict(
                Kind.SLEEPING,
                "sleeps all day; last ran 2026-11-03 21:55:00 UTC, 3 d ago; runs every 10 min",
                sleep_start=(LASTRUN + 3 * DAY) // DAY * DAY,
            ),
        )

    def test_failed(self) -> None:
        verdict = judge(reported(ok=False, reason="disk\nfull"), 60, LASTRUN + MINUTE)
        self.assertEqual(
            verdict,
            Verdict(
                Kind.FAILED,
                'the task reports an error: "disk full"; last ran 21:55:00 UTC, 1 min ago; runs every 10 min; '
                "next due 22:05:00 UTC",
                due=DUE,
            ),
        )
        self.assertEqual(verdict.status, Status.ERROR)

    def test_failed_whatever_the_http_status(self) -> None:
        verdict = judge(reported(ok=False, reason="x" * 501, code=500), 60, LASTRUN)
        self.assertEqual(verdict.kind, Kind.FAILED)
        self.assertIn(f'the task reports an error (HTTP 500): "{"x" * 500}";', verdict.explanation)

    def test_failed_without_a_reason(self) -> None:
        for reason in (None, "", " \n"):
            self.assertIn(
                "the task reports an error without a reason;",
                judge(reported(ok=False, reason=reason), 60, LASTRUN).explanation,
            )

    def test_report_says_ok_but_http_does_not(self) -> None:
        verdict = judge(reported(code=503), 60, LASTRUN)
        self.assertEqual(verdict.kind, Kind.FAILED)
        self.assertIn("HTTP 503 although the report says ok; last ran", verdict.explanation)

    def test_failed_comes_before_future_and_late(self) -> None:
        for lastrun in (LASTRUN + DAY, LASTRUN - DAY):
            self.assertEqual(judge(reported(ok=False, lastrun=lastrun), 60, LASTRUN).kind, Kind.FAILED)

    def test_future(self) -> None:
        verdict = judge(reported(), 60, LASTRUN - 20 * MINUTE)
        self.assertEqual(
            verdict,
            Verdict(
                Kind.FUTURE,
                "lastrun 21:55:00 UTC is 20 min ahead of now, more than its frequency of 10 min and 60 s grace allow",
                due=DUE,
                next_change=LASTRUN - 11 * MINUTE,
            ),
        )
        self.assertEqual(verdict.status, Status.ERROR)

    def test_future_to_the_second(self) -> None:
        self.assertEqual(judge(reported(), 60, LASTRUN - 11 * MINUTE - 0.001).kind, Kind.FUTURE)
        verdict = judge(reported(), 60, LASTRUN - 11 * MINUTE)
        self.assertEqual(verdict.kind, Kind.OK)
        self.assertIn("last ran 21:55:00 UTC, 11 min from now;", verdict.explanation)

    def test_late(self) -> None:
        verdict = judge(reported(), 60, LASTRUN + 34 * MINUTE)
        self.assertEqual(
            verdict,
            Verdict(
                Kind.LATE,
                "last ran 21:55:00 UTC, 34 min ago; runs every 10 min; "
                "was due 22:05:00 UTC and 60 s grace ended 23 min ago",
                due=DUE,
            ),
        )
        self.assertEqual(verdict.status, Status.ERROR)

    def test_late_to_the_second(self) -> None:
        self.assertEqual(judge(reported(), 60, LATE).kind, Kind.OK)
        self.assertEqual(judge(reported(), 60, LATE + RESOLUTION).kind, Kind.LATE)
        self.assertEqual(judge(reported(), 0, DUE).kind, Kind.OK)
        self.assertEqual(judge(reported(), 0, DUE + RESOLUTION).kind, Kind.LATE)

    def test_late_after_sleep(self) -> None:
        end = LASTRUN + 485 * MINUTE
        verdict = judge(reported(sleep=NIGHT), 60, end + 12 * MINUTE)
        self.assertEqual((verdict.kind, verdict.next_change), (Kind.LATE, LASTRUN + 5 * MINUTE + DAY))
        self.assertIn("was due 06:10:00 UTC (put off by its sleep) and 60 s grace ended 1 min ago", verdict.explanation)

    def test_ok(self) -> None:
        verdict = judge(reported(), 60, LASTRUN + 4 * MINUTE)
        self.assertEqual(
            verdict,
            Verdict(
                Kind.OK,
                "last ran 21:55:00 UTC, 4 min ago; runs every 10 min; next due 22:05:00 UTC",
                due=DUE,
                next_change=LATE + RESOLUTION,
            ),
        )
        self.assertEqual(verdict.status, Status.OK)

    def test_ok_in_its_grace(self) -> None:
        verdict = judge(reported(), 60, DUE + 30)
        self.assertEqual(
            verdict.explanation,
            "last ran 21:55:00 UTC, 10 min ago; runs every 10 min; was due 22:05:00 UTC, "
            "and its 60 s grace ends 22:06:00 UTC",
        )

    def test_sleep_comes_before_lateness(self) -> None:
        # It falls asleep in its grace.
        verdict = judge(reported(lastrun=LASTRUN - 330), 60, LASTRUN)
        self.assertEqual(verdict.next_change, LASTRUN + 330 + RESOLUTION)
        verdict = judge(reported(lastrun=LASTRUN - 330, sleep=NIGHT), 60, LASTRUN)
        self.assertEqual((verdict.due, verdict.next_change), (LASTRUN + 270, LASTRUN + 300))


_graces = st.sampled_from([0.0, 60.0, 120.0, 3600.0])
_codes = st.sampled_from([200, 200, 200, 503])


class ModelTests(SynchronousTestCase):
    """On whole minutes, where looking at each of them is enough."""

    def kind(self, night: Night, finding: Reported, due: Instant | None, grace: Seconds, now: Instant) -> Kind:
        report = finding.report
        if night.at(now):
            return Kind.SLEEPING
        if not report.ok or finding.code != 200:
            return Kind.FAILED
        if report.lastrun > now + report.frequency * 60 + grace:
            return Kind.FUTURE
        assert due is not None
        return Kind.LATE if now > due + grace else Kind.OK

    @thorough
    @given(minute_windows, minutes, st.integers(-3000, 3000), frequencies, _graces, _codes, st.integers(0, 5))
    def test_as_the_model(
        self,
        windows: tuple[Window, ...],
        lastrun: Instant,
        later: int,
        frequency: int,
        grace: Seconds,
        code: int,
        ok: int,
    ) -> None:
        finding = reported(ok=ok > 0, lastrun=lastrun, frequency=float(frequency), sleep=windows, code=code)
        night, now = Night(windows), lastrun + later * MINUTE
        verdict = judge(finding, grace, now)
        due = night.due(finding.report)
        kind = self.kind(night, finding, due, grace, now)
        self.assertEqual((verdict.kind, verdict.due), (kind, due))
        self.assertEqual(verdict.sleep_start is not None, kind is Kind.SLEEPING)
        self.assertEqual(len(verdict.explanation.splitlines()), 1)

        # Lateness begins just after a minute, everything else on one.
        change = None
        for minute in range(1, 15 * 1440):
            if self.kind(night, finding, due, grace, now + (minute - 1) * 60 + RESOLUTION) is not kind:
                change = now + (minute - 1) * 60 + RESOLUTION
                break
            if self.kind(night, finding, due, grace, now + minute * 60) is not kind:
                change = now + minute * 60
                break
        if change is not None or verdict.next_change is None or verdict.next_change < now + 15 * DAY:
            self.assertEqual(verdict.next_change, change)


class NextChangeTests(SynchronousTestCase):
    @thorough
    @given(
        any_windows,
        minutes,
        st.floats(-200_000, 200_000),
        st.floats(0.01, 5000),
        st.floats(0, 5000),
        st.booleans(),
        st.lists(st.floats(0, 1, exclude_max=True), max_size=20),
    )
    def test_nothing_changes_before_and_it_changes_then(
        self,
        windows: tuple[Window, ...],
        lastrun: Instant,
        later: Seconds,
        frequency: float,
        grace: Seconds,
        ok: bool,
        fractions: list[float],
    ) -> None:
        finding = reported(ok=ok, lastrun=lastrun, frequency=frequency, sleep=windows)
        now = lastrun + later
        verdict = judge(finding, grace, now)
        change = verdict.next_change
        if change is not None:
            self.assertGreater(change, now)
            self.assertIsNot(judge(finding, grace, change).kind, verdict.kind)
        for fraction in fractions:
            between = now + fraction * ((15 * DAY if change is None else change - RESOLUTION) - now)
            if between >= now:
                self.assertIs(judge(finding, grace, between).kind, verdict.kind)


class AgainTests(SynchronousTestCase):
    """Judging the same finding again gives what judging it for the first time would."""

    def test_as_long_ago_as_before(self) -> None:
        then = LASTRUN + 90
        before = judge(reported(), 60, then)
        self.assertIs(judge_again(reported(), 60, then + 20, before, then), before)

    def test_longer_ago(self) -> None:
        then, now = LASTRUN + 90, LASTRUN + 150
        verdict = judge_again(reported(), 60, now, judge(reported(), 60, then), then)
        self.assertEqual(verdict, judge(reported(), 60, now))
        self.assertIn(", 2 min ago;", verdict.explanation)

    @quick
    @given(
        any_windows,
        minutes,
        st.floats(-200_000, 200_000),
        st.floats(0.01, 5000),
        st.sampled_from([0.0, 0.5, 60.0, 4000.0]),
        st.sampled_from([200, 200, 200, 500]),
        st.lists(
            st.one_of(st.floats(-10, 4000), st.sampled_from([0.0, 0.0004, 0.0006, 1.0, 60.0, 600.0])),
            min_size=1,
            max_size=30,
        ),
    )
    def test_as_for_the_first_time(
        self,
        windows: tuple[Window, ...],
        lastrun: Instant,
        later: Seconds,
        frequency: float,
        grace: Seconds,
        code: int,
        steps: list[Seconds],
    ) -> None:
        finding = reported(lastrun=lastrun, frequency=frequency, sleep=windows, code=code)
        moments = [lastrun + later]
        for step in steps:
            moments.append(moments[-1] + step)
        due = judge(finding, grace, lastrun).due
        if due is not None:
            for edge in (due, due + grace, lastrun, moments[0] // DAY * DAY + DAY):
                moments += [edge - 0.001, edge - 0.0004, edge, edge + 0.0004, edge + RESOLUTION, edge + 1]
        then, verdict = moments[0], judge(finding, grace, moments[0])
        for now in [*moments, *sorted(moments)]:
            again = judge_again(finding, grace, now, verdict, then)
            self.assertEqual(again, judge(finding, grace, now))
            then, verdict = now, again

    def test_whatever_was_found(self) -> None:
        for finding in (NoAnswer(Fault.TIMEOUT, "no answer", 20.0), Invalid(200, "x"), reported(ok=False)):
            before = judge(finding, 60, LASTRUN)
            self.assertEqual(judge_again(finding, 60, LASTRUN + 60, before, LASTRUN), judge(finding, 60, LASTRUN + 60))
