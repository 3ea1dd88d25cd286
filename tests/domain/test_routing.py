"""Tests for :mod:`pypinger.domain.routing`: section 4 of the contract, "Routing"."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.alerting import daemon_alert
from pypinger.domain.incidents import acknowledge, close, step, unmute
from pypinger.domain.kinds import Kind
from pypinger.domain.model import (
    Alert,
    Check,
    Delivery,
    Event,
    Fault,
    Incident,
    Instant,
    NoAnswer,
    Part,
    Report,
    Reported,
    Task,
    TaskState,
    Verdict,
    Window,
)
from pypinger.domain.reminders import remind
from pypinger.domain.routing import DEFAULT_EVENTS, ChannelRoute, Routing
from pypinger.domain.selector import parse

TASK = Task(url="https://h/import", id="0123456789ab", name="import", label="https://h/import", group="billing")
PAGER = frozenset({Event.PROBLEM, Event.CHANGED, Event.RECOVERED, Event.FLAPPING, Event.ACKNOWLEDGED})


def route(channel: str, match: str = "", **values: object) -> ChannelRoute:
    return ChannelRoute(channel, parse(match), **values)  # type: ignore[arg-type]


class Story:
    """A task's state over time, and what each channel was sent."""

    def __init__(self, *routes: ChannelRoute, task: Task = TASK) -> None:
        self.routes = Routing(routes)
        self.task = task
        self.state = TaskState()
        self.muted = False
        self.sent: dict[str, list[Event]] = defaultdict(list)

    def check(self, at: Instant, kind: Kind, report: Report | None = None) -> None:
        finding = NoAnswer(Fault.DNS, "x", 0.1) if report is None else Reported(200, report)
        verdict = Verdict(kind, f"it is {kind}")
        self.take(*step(self.task, self.state, Check(at, 0.1, finding, verdict), muted=lambda state: self.muted))

    def take(self, after: TaskState, alerts: tuple[Alert, ...]) -> None:
        self.state, deliveries = self.routes.route(self.task, self.state, after, alerts)
        self.note(deliveries)

    def join(self, now: Instant) -> None:
        due = self.routes.next_joining(self.task, self.state, now)
        if due is not None and due <= now and not self.muted:
            self.state, _, deliveries = self.routes.join(self.task, self.state, now)
            self.note(deliveries)

    def note(self, deliveries: tuple[Delivery, ...]) -> None:
        for delivery in deliveries:
            self.sent[delivery.channel].append(delivery.alert.event)

    def told(self, channel: str) -> list[str]:
        return [event.value for event in self.sent[channel]]


class MatchTests(SynchronousTestCase):
    def test_chosen_when_the_incident_opens(self) -> None:
        story = Story(route("slack"), route("email", "group:billing"), route("ops", "group:ops"))
        story.check(0, Kind.LATE)
        story.check(60, Kind.FAILED)
        story.check(120, Kind.OK)
        for channel in ("slack", "email"):
            self.assertEqual(story.told(channel), ["problem", "changed", "recovered"])
        self.assertEqual(story.told("ops"), [])

    def test_what_is_later_does_not_change_them(self) -> None:
        """The kind of the incident, a tag, or the settings may be others by then."""
        story = Story(route("late", "kind:late"), route("failed", "kind:failed"))
        story.check(0, Kind.LATE)
        story.check(60, Kind.FAILED)
        story.routes = Routing((route("late", "nothing"), route("failed")))
        story.check(120, Kind.OK)
        self.assertEqual(story.told("late"), ["problem", "changed", "recovered"])
        self.assertEqual(story.told("failed"), [])

    def test_unknown_tags_match(self) -> None:
        story = Story(route("db", "server:db*"), route("web", "!server:db*"))
        story.check(0, Kind.UNREACHABLE)
        self.assertEqual((story.told("db"), story.told("web")), (["problem"], ["problem"]))
        story = Story(route("db", "server:db*"), route("web", "server:web*"))
        story.check(0, Kind.FAILED, Report(False, 0.0, server="web1"))
        self.assertEqual((story.told("db"), story.told("web")), ([], ["problem"]))

    def test_the_next_incident_is_routed_anew(self) -> None:
        story = Story(route("slack", "kind:late"))
        story.check(0, Kind.LATE)
        story.check(60, Kind.OK)
        story.check(120, Kind.FAILED)
        story.check(180, Kind.OK)
        self.assertEqual(story.told("slack"), ["problem", "recovered"])

    def test_alerts_without_a_task(self) -> None:
        routes = Routing((route("slack", "group:ops"), route("pager", events=PAGER)))
        started, blind = (daemon_alert(event, "x", 0.0) for event in (Event.STARTED, Event.BLIND))
        self.assertEqual([each.channel for each in routes.of_daemon(started)], ["slack"])
        self.assertEqual([each.channel for each in routes.of_daemon(blind, 0.0)], ["slack", "pager"])

    def test_a_task_that_is_removed(self) -> None:
        story = Story(route("slack", "group:billing"), route("ops", "group:ops"))
        story.check(0, Kind.LATE)
        story.take(*close(TASK, story.state, 60, "it was removed"))
        self.assertEqual((story.told("slack"), story.told("ops")), (["problem", "recovered"], []))


class EventTests(SynchronousTestCase):
    def test_only_what_it_takes(self) -> None:
        story = Story(route("night", events=frozenset({Event.PROBLEM, Event.RECOVERED})))
        story.check(0, Kind.LATE)
        story.check(60, Kind.FAILED)
        story.take(*remind(replace(TASK, error_interval=60), story.state, 180))
        story.take(*acknowledge(TASK, story.state, 200, "jane", ""))
        story.check(300, Kind.OK)
        self.assertEqual(story.told("night"), ["problem", "recovered"])

    def test_flapping_as_a_problem(self) -> None:
        story = Story(
            route("slack"),
            route("night", events=frozenset({Event.PROBLEM, Event.RECOVERED})),
            route("ends", events=frozenset({Event.RECOVERED})),
            task=replace(TASK, flap_incidents=1),
        )
        story.check(0, Kind.LATE)
        self.assertEqual(
            (story.told("slack"), story.told("night"), story.told("ends")), (["flapping"], ["problem"], [])
        )


class AfterTests(SynchronousTestCase):
    """Escalation."""

    def story(self, **values: object) -> Story:
        return Story(route("slack"), route("pager", after=600.0, **values))

    def test_joins_once_it_has_lasted(self) -> None:
        story = self.story()
        story.check(0, Kind.LATE)
        self.assertEqual(story.routes.next_joining(TASK, story.state, 0), 600.0)
        story.join(599)
        self.assertEqual(story.told("pager"), [])
        story.join(600)
        story.join(601)
        story.check(700, Kind.FAILED)
        story.check(800, Kind.OK)
        self.assertEqual(story.told("pager"), ["reminder", "changed", "recovered"])
        self.assertEqual(story.told("slack"), ["problem", "changed", "recovered"])

    def test_as_a_problem_where_it_takes_no_reminders(self) -> None:
        story = self.story(events=PAGER)
        story.check(0, Kind.LATE)
        story.join(600)
        self.assertEqual(story.told("pager"), ["problem"])

    def test_nothing_of_what_ends_before(self) -> None:
        story = self.story()
        story.check(0, Kind.LATE)
        story.check(300, Kind.FAILED)
        story.check(500, Kind.OK)
        story.join(700)
        self.assertEqual(story.told("pager"), [])

    def test_not_while_acknowledged(self) -> None:
        story = self.story()
        story.check(0, Kind.LATE)
        story.take(*acknowledge(TASK, story.state, 10, "jane", "on it"))
        story.join(700)
        self.assertEqual(story.told("pager"), [])
        # Another kind of trouble ends the acknowledgement.
        story.check(800, Kind.FAILED)
        story.join(801)
        self.assertEqual(story.told("pager"), ["reminder"])

    def test_not_while_it_sleeps_or_is_not_told(self) -> None:
        story = self.story()
        story.muted = True
        story.check(0, Kind.LATE)
        self.assertIsNone(story.routes.next_joining(TASK, story.state, 0))
        story.muted = False
        story.take(*unmute(TASK, story.state, 700))
        story.check(750, Kind.SLEEPING, Report(True, 0.0))
        self.assertIsNone(story.routes.next_joining(TASK, story.state, 0))
        story.check(800, Kind.LATE)
        story.join(800)
        self.assertEqual((story.told("slack"), story.told("pager")), (["problem"], ["reminder"]))

    def test_not_while_it_sleeps_by_its_last_report(self) -> None:
        """Also if it is unreachable by then: nothing is expected of it."""
        night = Report(True, 0.0, sleep=(Window(0.0, 3600.0),))
        story = self.story()
        story.check(-300, Kind.LATE, night)
        story.check(60, Kind.UNREACHABLE)
        self.assertEqual(story.routes.next_joining(TASK, story.state, 60), 3600.0)
        story.join(400)
        self.assertEqual(story.told("pager"), [])
        story.join(3600)
        self.assertEqual(story.told("pager"), ["reminder"])

    def test_flapping(self) -> None:
        """A channel that joins hears of it as flapping, or as a problem, whatever the status of the moment."""
        task = replace(TASK, flap_incidents=1)
        story = Story(
            route("slack"),
            route("email", after=600.0),
            route("pager", after=600.0, events=PAGER - {Event.FLAPPING}),
            task=task,
        )
        story.check(0, Kind.LATE)
        story.check(300, Kind.OK)
        _, _, deliveries = story.routes.join(task, story.state, 600)
        self.assertEqual(
            [(each.channel, each.alert.event, each.alert.kind) for each in deliveries],
            [("email", Event.FLAPPING, Kind.LATE), ("pager", Event.PROBLEM, Kind.LATE)],
        )

    def test_the_alert_is_of_the_incident(self) -> None:
        story = self.story()
        story.check(0, Kind.LATE)
        before = story.state.incident
        state, (alert,), (delivery,) = story.routes.join(TASK, story.state, 600)
        assert before is not None
        assert state.incident is not None
        self.assertEqual(state.incident.alerts, before.alerts + 1)
        self.assertEqual((alert.started, alert.kind, alert.explanation), (0.0, Kind.LATE, "it is late"))
        self.assertEqual((delivery.alert, delivery.channel), (replace(alert, joining=True), "pager"))

    def test_nothing_joins(self) -> None:
        story = self.story()
        for state in (TaskState(), replace(story.state, incident=Incident(0, Kind.LATE, 0, 1, channels={}))):
            self.assertEqual(story.routes.join(TASK, state, 1000), (state, (), ()))
        story.check(0, Kind.LATE)
        self.assertEqual(story.routes.join(TASK, story.state, 10), (story.state, (), ()))

    def test_blindness(self) -> None:
        routes = Routing((route("slack"), route("email", after=60.0), route("pager", after=600.0)))
        blind = daemon_alert(Event.BLIND, "no host answers", 0.0)
        self.assertEqual(routes.afters(), [60.0, 600.0])
        for lasted, joining, names in (
            (0.0, None, ["slack"]),
            (60.0, 60.0, ["email"]),
            (480.0, None, ["slack", "email"]),
            (600.0, 600.0, ["pager"]),
            (960.0, None, ["slack", "email", "pager"]),
        ):
            to = None if joining is None else routes.joining(joining)
            self.assertEqual([each.channel for each in routes.of_daemon(blind, lasted, to)], names)
        self.assertEqual(routes.channels, {"slack", "email", "pager"})
        # One that was added a moment before its time is not told before.
        self.assertEqual(routes.of_daemon(blind, 59.0, {"email"}), ())


class AddedTests(SynchronousTestCase):
    def test_told_once_and_belongs_from_then_on(self) -> None:
        story = Story(route("slack"))
        story.check(0, Kind.LATE)
        story.routes = Routing((route("slack"), route("email"), route("ops", "group:ops"), route("late", after=600.0)))
        self.assertEqual(story.routes.next_joining(TASK, story.state, 0), 0.0)
        for now in (100, 101):
            story.join(now)
        self.assertEqual((story.told("email"), story.told("ops"), story.told("late")), (["reminder"], [], []))
        story.join(600)
        story.check(700, Kind.OK)
        for channel in ("email", "late"):
            self.assertEqual(story.told(channel), ["reminder", "recovered"])
        self.assertEqual((story.told("slack"), story.told("ops")), (["problem", "recovered"], []))

    def test_a_store_of_a_version_without_routing(self) -> None:
        """The channels of that version took part in every incident; others are added."""
        story = Story(route("slack"), route("hipchat", "group:ops"))
        incident = Incident(0.0, Kind.LATE, 0.0, 1)
        story.state = TaskState(verdict=Verdict(Kind.LATE, "x"), checked=0.0, since=0.0, incident=incident)
        self.assertIsNone(story.routes.next_joining(TASK, story.state, 0))
        story.check(60, Kind.FAILED)
        story.check(120, Kind.OK)
        for channel in ("slack", "hipchat"):
            self.assertEqual(story.told(channel), ["changed", "recovered"])
        story.state = TaskState(verdict=Verdict(Kind.LATE, "x"), checked=0.0, since=0.0, incident=incident)
        story.check(180, Kind.OK)
        self.assertEqual(story.told("hipchat"), ["changed", "recovered", "recovered"])
        story = Story(route("slack"), route("email"), route("pager", events=PAGER), route("slack late", after=600.0))
        story.state = TaskState(verdict=Verdict(Kind.LATE, "x"), checked=0.0, since=0.0, incident=incident)
        story.join(60)
        self.assertEqual((story.told("email"), story.told("pager")), (["reminder"], ["problem"]))
        story.check(120, Kind.FAILED)
        story.check(180, Kind.OK)
        self.assertEqual(story.told("slack"), ["changed", "recovered"])
        self.assertEqual(story.told("pager"), ["problem", "changed", "recovered"])
        self.assertEqual(story.told("slack late"), [])
        story.state = TaskState(verdict=Verdict(Kind.LATE, "x"), checked=0.0, since=0.0, incident=incident)
        story.check(240, Kind.FAILED)
        story.routes = Routing((route("slack"), route("sentry")))
        story.join(300)
        self.assertEqual(story.told("sentry"), ["reminder"])


class SilenceTests(SynchronousTestCase):
    def test_services_with_incidents_of_their_own_hear_of_the_end(self) -> None:
        story = Story(route("slack"), route("pager", resolves=True), route("ops", "group:ops", resolves=True))
        story.check(0, Kind.LATE)
        story.muted = True
        story.check(60, Kind.OK)
        self.assertEqual((story.told("slack"), story.told("pager")), (["problem"], ["problem", "recovered"]))
        story.muted = False
        story.take(*unmute(TASK, story.state, 120))
        self.assertEqual(story.told("slack"), ["problem", "recovered"])
        self.assertEqual((story.told("pager"), story.told("ops")), (["problem", "recovered"], []))
        self.assertIsNone(story.state.owed_to)

    def test_the_end_of_one_incident_and_the_beginning_of_another(self) -> None:
        story = Story(route("late", "kind:late"), route("failed", "kind:failed"))
        story.check(0, Kind.LATE)
        story.muted = True
        story.check(60, Kind.OK)
        story.check(120, Kind.FAILED)
        story.take(*unmute(TASK, story.state, 180))
        self.assertEqual((story.told("late"), story.told("failed")), (["problem", "recovered"], ["problem"]))

    def test_what_was_never_told(self) -> None:
        """The silence has ended in the task's sleep: the problem comes first, whatever happens before it is told."""
        story = Story(route("slack"))
        task = replace(TASK, error_interval=60.0)
        story.muted = True
        story.check(0, Kind.LATE)
        story.muted = False
        story.check(60, Kind.SLEEPING, Report(True, 0.0))
        story.take(*unmute(TASK, story.state, 90))
        story.take(*acknowledge(TASK, story.state, 100, "jane", ""))
        story.check(120, Kind.FAILED, Report(False, 0.0))
        story.take(*remind(task, story.state, 600))
        self.assertEqual(story.told("slack"), [])
        story.take(*unmute(TASK, story.state, 601))
        self.assertEqual(story.told("slack"), ["problem"])

    def test_the_end_of_one_incident_if_the_task_is_removed_in_another(self) -> None:
        story = Story(route("late", "kind:late"), route("failed", "kind:failed"))
        story.check(0, Kind.LATE)
        story.muted = True
        story.check(60, Kind.OK)
        story.check(120, Kind.FAILED)
        story.take(*close(TASK, story.state, 180, "it was removed"))
        self.assertEqual((story.told("late"), story.told("failed")), (["problem", "recovered"], []))

    def test_what_an_earlier_version_owed(self) -> None:
        story = Story(route("slack"), route("hipchat"))
        story.check(0, Kind.LATE)
        story.muted = True
        story.check(60, Kind.OK)
        story.state = replace(story.state, owed_to=None)
        story.routes = Routing((route("slack"), route("hipchat"), route("email")))
        story.take(*unmute(TASK, story.state, 120))
        self.assertEqual((story.told("hipchat"), story.told("email")), (["problem", "recovered"], []))


MOMENTS = st.lists(
    st.tuples(st.integers(1, 400), st.sampled_from([Kind.OK, Kind.LATE, Kind.FAILED, Kind.SLEEPING, None])), max_size=14
)


class PropertyTests(SynchronousTestCase):
    @given(MOMENTS, st.sampled_from([0, 100, 500]), st.sampled_from([DEFAULT_EVENTS, PAGER]))
    def test_no_end_without_a_beginning(
        self, moments: list[tuple[int, Kind | None]], after: int, events: frozenset[Event]
    ) -> None:
        """A channel hears of each incident a beginning first, at most one end, and nothing beside."""
        story = Story(route("a", after=float(after), events=events, resolves=events is PAGER))
        now = 0
        for wait, kind in moments:
            for _ in range(wait // 50 + 1):
                now += 50
                story.join(now)
            if kind is None:
                story.muted = not story.muted
                if not story.muted:
                    story.take(*unmute(TASK, story.state, now))
                continue
            story.check(now, kind, Report(True, 0.0) if kind is not Kind.FAILED else Report(False, 0.0))
        opened = False
        for event in story.sent["a"]:
            if event is Event.RECOVERED:
                self.assertTrue(opened)
                opened = False
            elif event in (Event.CHANGED, Event.ACKNOWLEDGED):
                self.assertTrue(opened)
            else:
                self.assertFalse(event is Event.PROBLEM and opened and after == 0, story.sent["a"])
                opened = True

    @given(MOMENTS, st.sampled_from([100, 500]))
    def test_a_channel_waits(self, moments: list[tuple[int, Kind | None]], after: int) -> None:
        """By brute force: it is sent nothing of an incident before that has been open for so long."""
        story = Story(route("a", after=float(after)))
        now = 0
        for wait, kind in moments:
            now += wait
            before, count = story.state.incident, len(story.sent["a"])
            story.join(now)
            if kind is not None:
                story.check(now, kind, Report(True, 0.0))
            if len(story.sent["a"]) > count:
                started = (before or story.state.incident or Incident(now, Kind.LATE, 0, 0)).started
                self.assertGreaterEqual(now - started, after)
        incident = story.state.incident
        if incident is not None and incident.channels == {"a": Part.WAITING} and story.state.kind is not Kind.SLEEPING:
            self.assertEqual(story.routes.next_joining(TASK, story.state, now), incident.started + after)
