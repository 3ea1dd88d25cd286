"""Tests for :mod:`pypinger.domain.judge`: the table in section 2 of the contract, and a model."""

from __future__ import annotations

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain import judge as judging
from pypinger.domain.judge import RESOLUTION
from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import (
    Fault,
    Finding,
    Instant,
    Invalid,
    NoAnswer,
    Report,
    Reported,
    Seconds,
    Skew,
    Verdict,
    Window,
)
from tests.domain.strategies import Night, any_windows, frequencies, minute_windows, minutes, task, thorough

MINUTE = 60.0
DAY = 86_400.0
LASTRUN = datetime.fromisoformat("2026-11-03T21:55:00Z").timestamp()
DUE = LASTRUN + 10 * MINUTE
LATE = DUE + 60
NIGHT = (Window(22 * 3600, 8 * 3600.0),)


def judge(finding: Finding, grace: Seconds, now: Instant, *, skew: Skew | None = None) -> Verdict:
    return judging.judge(finding, task(grace), now, skew=skew)


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
        self.assertEqual(verdict, Verdict(Kind.INVALID, "not a valid report: status is missing"))
        self.assertEqual(
            judge(Invalid(204, "x"), 60, LASTRUN), Verdict(Kind.INVALID, "not a valid report: x (HTTP 204)")
        )
        self.assertEqual(judge(Invalid(299, "x"), 60, LASTRUN).kind, Kind.INVALID)
        self.assertEqual(verdict.status, Status.ERROR)

    def test_sleeping(self) -> None:
        start, end = LASTRUN + 5 * MINUTE, LASTRUN + 485 * MINUTE
        verdict = judge(reported(sleep=NIGHT), 60, start)
        self.assertEqual(
            verdict,
            Verdict(
                Kind.SLEEPING,
                "sleeps until 2026-11-04 06:00:00 UTC (every day from 22:00 UTC for 8 h); "
                "last ran 2026-11-03 21:55:00 UTC, runs every 10 min, "
                "due 2026-11-04 06:10:00 UTC (postponed by sleep)",
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
        self.assertIn("(every day from 22:00:05 UTC for 1 min 30 s)", verdict.explanation)

    def test_sleeps_all_day(self) -> None:
        verdict = judge(reported(sleep=(Window(0, DAY),)), 60, LASTRUN + 3 * DAY)
        self.assertEqual(
            verdict,
            Verdict(
                Kind.SLEEPING,
                "sleeps all day; last ran 2026-11-03 21:55:00 UTC, runs every 10 min",
                sleep_start=(LASTRUN + 3 * DAY) // DAY * DAY,
            ),
        )

    def test_failed(self) -> None:
        verdict = judge(reported(ok=False, reason="disk\nfull"), 60, LASTRUN + MINUTE)
        self.assertEqual(
            verdict,
            Verdict(
                Kind.FAILED,
                'the task reports an error: "disk full"; last ran 2026-11-03 21:55:00 UTC, runs every 10 min, '
                "due 22:05:00 UTC",
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
                "lastrun 2026-11-03 21:55:00 UTC is in the future by more than its frequency of 10 min "
                "plus 1 min grace",
                due=DUE,
                next_change=LASTRUN - 11 * MINUTE,
            ),
        )
        self.assertEqual(verdict.status, Status.ERROR)

    def test_future_to_the_second(self) -> None:
        self.assertEqual(judge(reported(), 60, LASTRUN - 11 * MINUTE - 0.001).kind, Kind.FUTURE)
        verdict = judge(reported(), 60, LASTRUN - 11 * MINUTE)
        self.assertEqual(verdict.kind, Kind.OK)
        self.assertIn("last ran 2026-11-03 21:55:00 UTC, runs every 10 min", verdict.explanation)

    def test_late(self) -> None:
        verdict = judge(reported(), 60, LASTRUN + 34 * MINUTE)
        self.assertEqual(
            verdict,
            Verdict(
                Kind.LATE,
                "last ran 2026-11-03 21:55:00 UTC, runs every 10 min, was due 22:05:00 UTC; grace 1 min",
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
        self.assertIn("was due 2026-11-04 06:10:00 UTC (postponed by sleep); grace 1 min", verdict.explanation)

    def test_ok(self) -> None:
        verdict = judge(reported(), 60, LASTRUN + 4 * MINUTE)
        self.assertEqual(
            verdict,
            Verdict(
                Kind.OK,
                "last ran 2026-11-03 21:55:00 UTC, runs every 10 min, due 22:05:00 UTC; grace 1 min",
                due=DUE,
                next_change=LATE + RESOLUTION,
            ),
        )
        self.assertEqual(verdict.status, Status.OK)

    def test_nothing_changes_in_its_grace(self) -> None:
        self.assertEqual(judge(reported(), 60, DUE + 30), judge(reported(), 60, LASTRUN + 4 * MINUTE))

    def test_without_grace(self) -> None:
        verdict = judge(reported(), 0, LASTRUN)
        self.assertEqual(verdict.explanation, "last ran 2026-11-03 21:55:00 UTC, runs every 10 min, due 22:05:00 UTC")
        self.assertTrue(judge(reported(), 0, LASTRUN - DAY).explanation.endswith("its frequency of 10 min"))

    def test_lengths_as_people_say_them(self) -> None:
        for frequency, words in [
            (0.5, "runs every 30 s,"),
            (1.0, "runs every minute,"),
            (90.0, "runs every 1 h 30 min,"),
            (1440.0, "runs every day,"),
            (10_080.0, "runs every week,"),
        ]:
            self.assertIn(words, judge(reported(frequency=frequency), 60, LASTRUN).explanation)

    def test_date_stands_where_the_day_changes(self) -> None:
        verdict = judge(reported(frequency=1440.0), 60, LASTRUN)
        self.assertEqual(
            verdict.explanation,
            "last ran 2026-11-03 21:55:00 UTC, runs every day, due 2026-11-04 21:55:00 UTC; grace 1 min",
        )
        verdict = judge(reported(sleep=(Window(21 * 3600, 3600.0),)), 60, LASTRUN)
        self.assertIn("sleeps until 2026-11-03 22:00:00 UTC", verdict.explanation)
        self.assertIn("last ran 21:55:00 UTC, runs every 10 min, due 22:05:00 UTC", verdict.explanation)

    def test_sleep_comes_before_lateness(self) -> None:
        # The task falls asleep within its grace.
        verdict = judge(reported(lastrun=LASTRUN - 330), 60, LASTRUN)
        self.assertEqual(verdict.next_change, LASTRUN + 330 + RESOLUTION)
        verdict = judge(reported(lastrun=LASTRUN - 330, sleep=NIGHT), 60, LASTRUN)
        self.assertEqual((verdict.due, verdict.next_change), (LASTRUN + 270, LASTRUN + 300))


class SkewTests(SynchronousTestCase):
    """Explanations of late and future say when the host's clock differs from ours."""

    def test_late(self) -> None:
        for ahead, words in [
            (-180.0, "; the clock of h is 3 min behind ours"),
            (-209.0, "; the clock of h is 3 min behind ours"),
            (3601.0, "; the clock of h is 1 h ahead of ours"),
            (29.0, ""),
            (-29.0, ""),
            (0.0, ""),
        ]:
            plain = judge(reported(), 60, LATE + 60)
            verdict = judge(reported(), 60, LATE + 60, skew=Skew("h", ahead))
            self.assertEqual(verdict, replace(plain, explanation=plain.explanation + words))

    def test_future(self) -> None:
        verdict = judge(reported(), 60, LASTRUN - 20 * MINUTE, skew=Skew("h\n", 1200.0))
        self.assertTrue(verdict.explanation.endswith(" grace; the clock of h is 20 min ahead of ours"))

    def test_other_kinds(self) -> None:
        for finding in (
            reported(),
            reported(ok=False),
            reported(code=503),
            Invalid(200, "x"),
            NoAnswer(Fault.DNS, "x", 0.1),
        ):
            self.assertEqual(judge(finding, 60, LASTRUN, skew=Skew("h", -3600)), judge(finding, 60, LASTRUN))
        asleep = reported(sleep=NIGHT), 60, LASTRUN + 6 * MINUTE
        self.assertEqual(judge(*asleep, skew=Skew("h", -3600)), judge(*asleep))


_graces = st.sampled_from([0.0, 60.0, 120.0, 3600.0])
_codes = st.sampled_from([200, 200, 200, 503])


class ModelTests(SynchronousTestCase):
    """On whole minutes, where it is enough to look at each of them."""

    def kind(self, night: Night, finding: Reported, due: Instant | None, grace: Seconds, now: Instant) -> Kind:
        report = finding.report
        if night.at(now):
            return Kind.SLEEPING
        if not report.ok or finding.code != 200:
            return Kind.FAILED
        assert report.lastrun is not None
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

        # A task becomes late just after a minute; everything else changes on one.
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
    def test_verdict_stands_until_next_change(
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
        skew = Skew("h", -120.0)
        verdict = judge(finding, grace, now, skew=skew)
        change = verdict.next_change
        if change is not None:
            self.assertGreater(change, now)
            self.assertIsNot(judge(finding, grace, change).kind, verdict.kind)
        for fraction in fractions:
            between = now + fraction * ((15 * DAY if change is None else change - RESOLUTION) - now)
            if between >= now:
                same = judge(finding, grace, between, skew=skew)
                self.assertEqual(
                    (same.kind, same.explanation, same.due, same.next_change, same.sleep_end),
                    (verdict.kind, verdict.explanation, verdict.due, change, verdict.sleep_end),
                )

    @thorough
    @given(any_windows, minutes, st.floats(-200_000, 200_000), frequencies, st.booleans(), st.sampled_from([200, 503]))
    def test_explanations_hold_no_age(
        self, windows: tuple[Window, ...], lastrun: Instant, later: Seconds, frequency: int, ok: bool, code: int
    ) -> None:
        finding = reported(ok=ok, lastrun=lastrun, frequency=float(frequency), sleep=windows, code=code)
        explanation = judge(finding, 60, lastrun + later).explanation
        self.assertNotRegex(explanation, r"\b(ago|from now|now|today|next|yet)\b")
        self.assertEqual(len(explanation.splitlines()), 1)
