"""Tests for :mod:`pypinger.domain.grouping`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.grouping import APART, AlertGroup, Grouping, Storms, places_of
from pypinger.domain.model import Alert, Event
from tests.domain.strategies import thorough


def alert(
    event: Event = Event.PROBLEM, origin: str = "http://a:80", server: str | None = None, task: str = ""
) -> Alert:
    return Alert(id="0", event=event, at=0.0, explanation="", task=task, origin=origin, server=server)


class WindowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.grouping = Grouping(5.0)

    def place(self, now: float, **values: object) -> AlertGroup | None:
        return self.grouping.place(alert(**values), now)  # type: ignore[arg-type]

    def test_first_alone_followers_together(self) -> None:
        self.assertIsNone(self.place(0))
        group = self.place(1)
        assert group is not None
        self.assertEqual(group.closes, 5)
        self.assertIs(self.place(4.9), group)

    def test_a_server_is_a_place_too_but_the_origin_comes_first(self) -> None:
        self.assertIsNone(self.place(0, server="db1"))
        by_server = self.place(1, origin="http://b:80", server="db1")
        assert by_server is not None
        self.assertEqual(by_server.place, ("server", "db1"))
        by_origin = self.place(1, server="db1")
        assert by_origin is not None
        self.assertEqual(by_origin.place, ("origin", "http://a:80"))

    def test_events_are_apart(self) -> None:
        self.assertIsNone(self.place(0))
        self.assertIsNone(self.place(1, event=Event.RECOVERED))
        self.assertIsNone(self.place(1, event=Event.CHANGED))

    def test_no_grouping_at_all(self) -> None:
        grouping = Grouping(0.0)
        for event in Event:
            for _ in range(4):
                self.assertIsNone(grouping.place(alert(event), 0.0))

    def test_the_third_message_within_the_wait_takes_all_others(self) -> None:
        self.assertIsNone(self.place(0, origin="a"))
        self.assertIsNone(self.place(0, origin="b"))
        rest = self.place(0, origin="c")
        assert rest is not None
        self.assertIs(self.place(1, origin="d"), rest)
        self.assertIsNotNone(self.place(1, origin="a"))
        self.assertIsNone(self.place(11, origin="e"))

    def test_reminders_make_digests(self) -> None:
        """They leave ``group_wait`` apart: what is due within a minute is made at once."""
        first = self.place(0, event=Event.REMINDER)
        assert first is not None
        self.assertEqual(first.closes, 1)
        self.assertIs(self.place(0.5, event=Event.REMINDER, origin="b"), first)
        for at, closes in ((2, 6), (10, 11), (40, 41)):
            group = self.place(at, event=Event.REMINDER)
            assert group is not None
            self.assertEqual(group.closes, closes)

    def test_what_is_expected_is_waited_for(self) -> None:
        self.grouping.expect(("origin", "http://a:80"), 0, 25)
        self.assertIsNone(self.place(0))
        group = self.place(12)
        assert group is not None
        self.assertEqual(group.closes, 25)
        self.grouping.settled(("origin", "http://a:80"), 13)
        self.assertEqual(group.closes, 13)

    def test_what_was_sent_is_not_held(self) -> None:
        """More is expected after a group has left: what follows is another group."""
        self.assertIsNone(self.place(0))
        sent = self.place(1)
        assert sent is not None
        self.grouping.expect(("origin", "http://a:80"), 5, 25)
        self.assertEqual(sent.closes, 5)
        self.assertIsNot(self.place(10), sent)

    def test_what_is_expected_elsewhere_is_not_waited_for(self) -> None:
        self.assertIsNone(self.place(0))
        self.assertIsNone(self.place(0, origin="http://b:80"))
        self.grouping.expect(("origin", "http://b:80"), 0, 25)
        here, there = self.place(1), self.place(1, origin="http://b:80")
        assert here is not None
        assert there is not None
        self.assertEqual((here.closes, there.closes), (5, 25))


class StormTests(SynchronousTestCase):
    def test_opens_with_two_and_closes_with_the_last(self) -> None:
        storms = Storms()
        first = alert(server="db1")
        places = list(places_of(first))
        storms.opened("1", places)
        self.assertEqual(storms.at(first), ())
        storms.opened("2", [places[1]])
        self.assertEqual(storms.at(first), (places[1],))
        storms.closed("1")
        self.assertEqual(storms.at(first), (places[1],))
        storms.closed("2")
        self.assertEqual(storms.at(first), ())

    def test_the_storm_of_a_server_opens_a_window_for_its_origin(self) -> None:
        """Tasks of one origin, the first of which is on a server with a storm, are two messages."""
        grouping, storms = Grouping(5.0), (("server", "db1"),)
        stormy = grouping.place(alert(server="db1"), 0, storms)
        window = grouping.place(alert(server="db2"), 1)
        assert stormy is not None
        assert window is not None
        self.assertEqual((stormy.place, window.place), (("server", "db1"), ("origin", "http://a:80")))
        self.assertIs(grouping.place(alert(server="db3"), 2), window)
        # What belongs to that storm too goes with it.
        self.assertIs(grouping.place(alert(server="db1"), 3, storms), stormy)

    def test_messages_of_one_event_are_a_minute_apart(self) -> None:
        grouping, here = Grouping(5.0), [("origin", "http://a:80")]
        first = grouping.place(alert(), 100, here)
        assert first is not None
        self.assertEqual(first.closes, 105)
        second = grouping.place(alert(), 106, here)
        assert second is not None
        self.assertEqual(second.closes, 105 + APART)
        other = grouping.place(alert(Event.FLAPPING), 106, here)
        assert other is not None
        self.assertEqual(other.closes, 111)

    def test_the_first_recovery_at_once_and_the_others_when_the_storm_is_over(self) -> None:
        grouping, here = Grouping(5.0), [("origin", "http://a:80")]
        self.assertIsNone(grouping.place(alert(Event.RECOVERED), 100, here))
        others = grouping.place(alert(Event.RECOVERED), 101, here)
        assert others is not None
        self.assertEqual(others.closes, 100 + APART)
        grouping.calmed(here[0], 103)
        self.assertEqual(others.closes, 106)
        # Elsewhere a message that left early does not count as one to come.
        self.assertIsNone(grouping.place(alert(Event.RECOVERED, origin="http://b:80"), 113))
        self.assertIsNone(grouping.place(alert(Event.RECOVERED), 300, here))
        late = grouping.place(alert(Event.RECOVERED), 301, here)
        assert late is not None
        grouping.calmed(here[0], 320)
        self.assertEqual(late.closes, 320)

    def test_the_end_of_a_storm_leaves_sent_groups_alone(self) -> None:
        grouping, here = Grouping(5.0), [("origin", "http://a:80")]
        sent = grouping.place(alert(), 100, here)
        assert sent is not None
        self.assertEqual(sent.closes, 105)
        grouping.place(alert(Event.RECOVERED, origin="http://b:80"), 110.5)
        grouping.calmed(here[0], 110.5)
        self.assertEqual(sent.closes, 105)
        # A window that was held open for others ends as well.
        self.assertIsNone(grouping.place(alert(), 200))
        grouping.expect(here[0], 200, 230)
        held = grouping.place(alert(), 201)
        assert held is not None
        grouping.settled(here[0], 202)
        grouping.calmed(here[0], 203)
        self.assertEqual(held.closes, 205)

    def test_a_storm_that_lasts_keeps_recoveries_a_minute_apart(self) -> None:
        grouping, here = Grouping(5.0), [("origin", "http://a:80")]
        for start in (100.0, 300.0):
            self.assertIsNone(grouping.place(alert(Event.RECOVERED), start, here))
            group = grouping.place(alert(Event.RECOVERED), start + 20, here)
            assert group is not None
            self.assertEqual(group.closes, start + APART)

    @thorough
    @given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from("abcdefgh"), st.sampled_from([None, "x", "y"]))))
    def test_never_more_than_the_wait_allows(self, arrivals: list[tuple[float, str, str | None]]) -> None:
        """Of one event, in any five seconds, at most two leave alone, and each alert leaves within its wait."""
        grouping, alone = Grouping(5.0), []
        for now, origin, server in sorted(arrivals, key=lambda each: each[0]):
            group = grouping.place(alert(origin=origin, server=server), now)
            if group is None:
                alone.append(now)
                self.assertLessEqual(sum(time > now - 5.0 for time in alone), 2)
            else:
                self.assertTrue(now <= group.closes <= now + 5.0)
