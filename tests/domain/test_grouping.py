"""Tests for :mod:`pypinger.domain.grouping`: the contract's rules, and a model that searches all earlier alerts."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.grouping import AlertGroup, Grouping
from pypinger.domain.model import Alert, Event

ORIGIN = ("origin", "http://a:80")
SERVER = ("server", "db1")


def alert(event: Event = Event.PROBLEM, origin: str = "", server: str | None = None) -> Alert:
    return Alert(id="", event=event, at=0.0, explanation="", task="t", origin=origin, server=server)


def problem(origin: str = "http://a:80", server: str | None = None) -> Alert:
    return alert(origin=origin, server=server)


class RuleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.grouping = Grouping(5.0)

    def test_the_first_is_sent_at_once_and_the_others_together(self) -> None:
        self.assertIsNone(self.grouping.place(problem(), 10))
        expected = AlertGroup(Event.PROBLEM, ORIGIN, 15)
        self.assertEqual([self.grouping.place(problem(), now) for now in (10, 12, 14.999)], [expected] * 3)

    def test_a_group_is_not_extended(self) -> None:
        self.grouping.place(problem(), 10)
        self.grouping.place(problem(), 14)
        self.assertIsNone(self.grouping.place(problem(), 15))
        self.assertEqual(self.grouping.place(problem(), 16), AlertGroup(Event.PROBLEM, ORIGIN, 20))

    def test_by_server_too(self) -> None:
        self.grouping.place(problem("http://b:80", "db1"), 0)
        self.assertEqual(self.grouping.place(problem("http://a:80", "db1"), 1), AlertGroup(Event.PROBLEM, SERVER, 5))

    def test_the_origin_comes_before_the_server(self) -> None:
        self.grouping.place(problem("http://b:80", "db1"), 0)
        self.grouping.place(problem("http://a:80", "db2"), 1)
        self.assertEqual(self.grouping.place(problem("http://a:80", "db1"), 2), AlertGroup(Event.PROBLEM, ORIGIN, 6))

    def test_only_alerts_sent_at_once_open_groups(self) -> None:
        self.grouping.place(problem("http://a:80", "db1"), 0)
        self.assertIsNotNone(self.grouping.place(problem("http://a:80", "db2"), 1))
        self.assertIsNone(self.grouping.place(problem("http://b:80", "db2"), 2))

    def test_recoveries_have_their_own_groups(self) -> None:
        recovered = alert(Event.RECOVERED, "http://a:80")
        self.grouping.place(problem(), 0)
        self.assertIsNone(self.grouping.place(recovered, 1))
        self.assertEqual(self.grouping.place(recovered, 2), AlertGroup(Event.RECOVERED, ORIGIN, 6))
        self.assertEqual(self.grouping.place(problem(), 2), AlertGroup(Event.PROBLEM, ORIGIN, 5))

    def test_an_origin_does_not_match_a_server(self) -> None:
        self.grouping.place(problem("db1"), 0)
        self.assertIsNone(self.grouping.place(problem("http://a:80", "db1"), 1))

    def test_other_events_are_never_grouped(self) -> None:
        for event in set(Event) - {Event.PROBLEM, Event.RECOVERED}:
            for _ in range(2):
                self.assertIsNone(self.grouping.place(alert(event, "http://a:80", "db1"), 0))
        self.assertIsNone(self.grouping.place(problem("http://a:80", "db1"), 0))

    def test_without_origin_and_server(self) -> None:
        for _ in range(2):
            self.assertIsNone(self.grouping.place(problem(""), 0))

    def test_off(self) -> None:
        grouping = Grouping(0.0)
        for _ in range(2):
            self.assertIsNone(grouping.place(problem(), 0))

    def test_closed_groups_are_removed(self) -> None:
        for number in range(1000):
            self.grouping.place(problem(f"http://host{number}:80", f"server{number}"), float(number))
        self.assertLessEqual(len(self.grouping._open), 2 * 5)
        self.assertEqual(len(self.grouping._open), len(self.grouping._closing))


ALERTS = st.builds(
    alert,
    st.sampled_from([Event.PROBLEM, Event.PROBLEM, Event.RECOVERED, Event.CHANGED]),
    st.sampled_from(["", "http://a:80", "http://b:80", "http://c:80"]),
    st.sampled_from([None, "", "db1", "db2", "db3"]),
)


class ModelTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=300)
    @given(
        alerts=st.lists(ALERTS, min_size=1, max_size=30),
        gaps=st.lists(st.integers(0, 4), min_size=30, max_size=30),
        wait=st.integers(0, 7),
    )
    def test_as_the_model(self, alerts: list[Alert], gaps: list[int], wait: int) -> None:
        grouping = Grouping(float(wait))
        single: list[tuple[float, Alert]] = []
        for now, each in zip(accumulate(map(float, gaps)), alerts, strict=False):
            expected = None
            for name in ("server", "origin"):  # the origin wins
                mine = getattr(each, name)
                for sent, other in single:
                    if mine and each.event is other.event and mine == getattr(other, name) and now < sent + wait:
                        expected = AlertGroup(each.event, (name, mine), sent + wait)
            if expected is None and each.event in (Event.PROBLEM, Event.RECOVERED):
                single.append((now, each))
            self.assertEqual(grouping.place(each, now), expected)
