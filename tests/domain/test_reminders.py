"""Tests for :mod:`pypinger.domain.reminders`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Event, Reported, Window
from pypinger.domain.reminders import digest_span, next_of_condition, next_reminder, remind
from tests.domain.test_incidents import REPORT, TASK, Story

MINUTE = 60.0


class ReminderTests(SynchronousTestCase):
    def test_later_and_later(self) -> None:
        story = Story()
        self.assertIsNone(story.reminder)
        self.assertEqual(story.remind(0.0), [])
        story.step(Kind.LATE, 0.0)
        for minutes in (8, 24, 56, 120, 248, 504, 864, 1224):
            self.assertEqual(story.reminder, minutes * MINUTE)
            self.assertEqual(story.remind(minutes * MINUTE - 0.1), [])
            self.assertEqual(story.remind(minutes * MINUTE), [Event.REMINDER])
        reminder = story.alerts[-1]
        self.assertEqual((reminder.started, reminder.kind, reminder.explanation), (0.0, Kind.LATE, "it is late"))

    def test_a_longest_time_below_the_first_counts_as_the_first(self) -> None:
        story = Story(replace(TASK, error_interval_max=60.0))
        story.step(Kind.LATE, 0.0)
        story.remind(480.0)
        self.assertEqual(story.reminder, 960.0)

    def test_one_that_comes_late_counts_from_when_it_came(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0)
        story.remind(1000.0)
        self.assertEqual(story.reminder, 1960.0)

    def test_never(self) -> None:
        story = Story(replace(TASK, error_interval=0.0))
        story.step(Kind.LATE, 0.0)
        self.assertIsNone(story.reminder)
        self.assertEqual(story.remind(1e9), [])

    def test_skipped_soon_after_a_change(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0)
        story.step(Kind.FAILED, 240.0)
        self.assertEqual(story.reminder, 480.0)
        story.step(Kind.LATE, 241.0)
        self.assertEqual(story.reminder, 1440.0)

    def test_in_a_digest_it_comes_early_and_the_next_one_does_not_drift(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0)
        state, alerts = remind(story.task, story.state, 430.0, early=60.0)
        self.assertEqual([alert.at for alert in alerts], [430.0])
        self.assertEqual(next_reminder(story.task, state, 430.0), 1440.0)
        self.assertEqual((digest_span(TASK), digest_span(replace(TASK, error_interval=20.0))), (60.0, 10.0))

    def test_not_while_asleep_but_on_waking(self) -> None:
        story = Story()
        story.step(Kind.LATE, 0.0)
        story.step(Kind.SLEEPING, 400.0)
        self.assertIsNone(story.reminder)
        self.assertEqual(story.remind(5000.0), [])
        story.step(Kind.LATE, 6000.0)
        self.assertEqual(story.remind(6000.0), [Event.REMINDER])

    def test_one_due_in_an_unseen_sleep_waits_for_its_end(self) -> None:
        asleep = Reported(200, replace(REPORT, sleep=(Window(300, 600.0),)))
        for kind in (Kind.LATE, Kind.FAILED, Kind.FUTURE, Kind.UNREACHABLE):
            story = Story()
            story.step(Kind.OK, -1.0, asleep)
            story.step(kind, 0.0)
            self.assertEqual(story.reminder, 900.0)
            self.assertEqual(story.remind(899.9), [])
            self.assertEqual(story.remind(900.0), [Event.REMINDER])

    def test_clock_set_back(self) -> None:
        story = Story()
        story.step(Kind.LATE, 10_000.0)
        story.step(Kind.LATE, 6400.0)
        self.assertEqual(story.reminder, 6880.0)


class ConditionTests(SynchronousTestCase):
    """Reminders of what is wrong with Py Pinger itself."""

    @given(
        since=st.floats(0, 1e5),
        first=st.floats(60, 5000),
        times=st.floats(-5, 60),
        most=st.floats(0, 40),
    )
    def test_as_often_as_an_incident(self, since: float, first: float, times: float, most: float) -> None:
        """It lasts, and its longest wait is, so many `times` its first wait; few have many reminders."""
        lasted, longest = first * times, first * most
        story = Story(replace(TASK, error_interval=first, error_interval_max=longest))
        story.step(Kind.LATE, since)
        now = since + lasted
        while (due := story.reminder or 0.0) <= max(now, since):
            story.remind(due)
        if lasted >= 0:
            self.assertAlmostEqual(next_of_condition(since, now, first, longest) or 0.0, due, places=3)
        else:
            # The clock was set back.
            self.assertEqual(next_of_condition(since, now, first, longest), now + first)

    def test_none(self) -> None:
        self.assertIsNone(next_of_condition(0.0, 10.0, 0.0, 60.0))
