"""What still stands is sent again to channels whose alerts expire (contract, section 5, ``[alertmanager]``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from pypinger.domain.clocks import IS_WRONG
from pypinger.domain.model import Alert, Event, Fault, NoAnswer, Task
from pypinger.domain.routing import ChannelRoute, Routing
from pypinger.domain.selector import parse
from pypinger.ports.notifying import DeliveryError
from pypinger.runtime.keeping import SLICE, Keeper, KeptChannel
from pypinger.runtime.outboxsettings import OutboxSettings
from tests.runtime.fakes import FakeNotifier, make_task
from tests.runtime.test_alerting import REFUSED, AlertingCase

OWN = NoAnswer(Fault.OWN, "no file descriptors left", 0.0)


class FakeKept(FakeNotifier):
    """
    A channel whose alerts expire.

    :ivar kept: the alerts of each round.
    """

    def __init__(self, name: str = "am") -> None:
        super().__init__(name)
        self.kept: list[Sequence[Alert]] = []
        self.hear: Callable[[], Deferred[None] | None] = lambda: None

    async def keep(self, alerts: Sequence[Alert]) -> None:
        self.kept.append(alerts)
        heard = self.hear()
        if heard is not None:
            await heard

    @property
    def names(self) -> list[list[str]]:
        """The tasks of each round."""
        return [[alert.name for alert in alerts] for alerts in self.kept]


class KeepingCase(AlertingCase):
    def build(self, *tasks: Task, **values: object) -> None:
        super().build(*tasks, **values)
        self.am, self.other = FakeKept(), FakeKept("am other")
        self.keeper = Keeper(self.world.clock, self.world.now, self.board, self.checker.condition.standing, [])
        self.use(ChannelRoute("am"))
        self.keeper.start()
        self.addCleanup(self.keeper.stop)
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def use(self, *routes: ChannelRoute) -> None:
        """Configure these channels, as a reload does."""
        known = {"am": self.am, "am other": self.other, "slack": self.notifier}
        self.outbox.update(OutboxSettings(tuple(known[route.channel] for route in routes), Routing(routes)))
        self.keeper.update(
            [
                KeptChannel(route.channel, kept, route.after)
                for route in routes
                if isinstance(kept := known[route.channel], FakeKept)
            ]
        )

    def logged(self) -> list[tuple[LogLevel, str]]:
        return [
            (event["log_level"], formatEvent(event))
            for event in self.events
            if event["log_namespace"] == "pypinger.runtime.keeping.Keeper"
        ]


class IncidentTests(KeepingCase):
    unmeasured = True

    def test_from_the_problem_to_the_end(self) -> None:
        self.run_(make_task("a", interval=30.0), make_task("b", interval=30.0))
        self.world.pass_time(60, step=0.5)
        self.assertEqual(self.am.kept, [[]])
        self.ill = {"a": REFUSED}
        self.world.pass_time(360, step=0.5)
        self.ill = {}
        self.world.pass_time(120, step=0.5)
        self.assertEqual(self.am.names[1:], [["a"]] * 6 + [[]] * 2)
        problem = next(alert for alert in self.am.sent if alert.event is Event.PROBLEM)
        kept = self.am.kept[-3][0]
        self.assertEqual(
            (kept.event, kept.task, kept.started, kept.kind, kept.explanation),
            (Event.PROBLEM, "a", problem.started, problem.kind, problem.explanation),
        )

    def test_it_changes_nothing(self) -> None:
        """The incident is not charged with what is kept alive: its alerts have the ids that they would have anyway."""
        self.run_(make_task("a", interval=30.0))
        self.ill = {"a": REFUSED}
        self.world.pass_time(400, step=0.5)
        incident = self.state().incident
        assert incident is not None
        self.assertEqual(incident.alerts, len([alert for alert in self.am.sent if alert.task]))
        self.assertGreater(len(self.am.kept), 5)

    def test_silenced_later(self) -> None:
        self.run_(make_task("a", interval=30.0))
        self.ill = {"a": REFUSED}
        self.world.pass_time(70, step=0.5)
        self.silence("a", 3600)
        self.world.pass_time(60, step=0.5)
        self.assertEqual(self.am.names, [["a"], ["a"]])

    def test_silenced_before_it_was_told(self) -> None:
        self.run_(make_task("a", interval=30.0))
        self.silence("a", 100)
        self.ill = {"a": REFUSED}
        self.world.pass_time(185, step=0.5)
        self.assertEqual(self.am.names, [[], ["a"], ["a"]])

    def test_acknowledged(self) -> None:
        self.run_(make_task("a", interval=30.0))
        self.ill = {"a": REFUSED}
        self.world.pass_time(30, step=0.5)
        self.successResultOf(Deferred.fromCoroutine(self.monitor.acknowledge("http://host/a", "jane", "on it")))
        self.world.pass_time(40, step=0.5)
        ((kept,),) = self.am.kept
        self.assertTrue(kept.explanation.endswith("; acknowledged by jane: on it"), kept.explanation)

    def test_incidents_of_other_channels(self) -> None:
        """Neither those of tasks that do not match, nor those that the channel has not joined yet."""
        self.build(make_task("a", interval=30.0), make_task("b", interval=30.0))
        self.use(
            ChannelRoute("am", match=parse("b"), after=100.0),
            ChannelRoute("am other", match=parse("a")),
            ChannelRoute("slack"),
        )
        self.monitor.start()
        self.ill = {"a": REFUSED, "b": REFUSED}
        self.world.pass_time(185, step=0.5)
        self.assertEqual(self.am.names, [[], ["b"], ["b"]])
        self.assertEqual(self.other.names, [["a"]] * 3)

    def test_incidents_of_a_version_without_routing(self) -> None:
        """The channel is told of them as one that a start adds, and keeps them from then on."""
        task = make_task("a", interval=30.0)
        self.run_(task)
        self.ill = {"a": REFUSED}
        self.world.pass_time(31, step=0.5)
        state, ill = self.state(), self.ill
        assert state.incident is not None
        self.build(task)
        self.ill = ill
        self.monitor.resume({task.url: replace(state, incident=replace(state.incident, channels=None))})
        self.monitor.start()
        self.world.pass_time(61, step=0.5)
        self.assertEqual([alert.event for alert in self.am.sent], [Event.REMINDER])
        self.assertEqual(self.am.names, [["a"]])

    def after_the_first_slice(self, count: int, what: Callable[[], object]) -> None:
        """Call `what` in the first round of `count` open incidents, after the first slice of alerts is made."""
        self.run_(*(make_task(f"{number:05}", interval=3600.0) for number in range(count)))
        self.ill = {task.name: REFUSED for task in self.tasks}
        self.world.pass_time(50, step=0.5)
        self.world.clock.callLater(10, what)
        self.world.clock.advance(10)

    def test_thousands_are_made_in_slices(self) -> None:
        """Between two of them other work has its turn."""
        rounds: list[int] = []
        self.after_the_first_slice(3 * SLICE + 1, lambda: rounds.append(len(self.am.kept)))
        self.assertEqual(rounds, [0])
        self.assertEqual([len(each) for each in self.am.kept], [3 * SLICE + 1])

    def test_one_that_ends_while_others_are_collected(self) -> None:
        def end() -> None:
            last = self.tasks[-1]
            self.board.show(last, replace(self.state(last.id), incident=None))

        self.after_the_first_slice(SLICE + 1, end)
        self.assertEqual([len(each) for each in self.am.kept], [SLICE])


class ConditionTests(KeepingCase):
    def blind(self) -> list[list[float | None]]:
        """Since when Py Pinger is blind, of each round."""
        return [[alert.started for alert in alerts if alert.event is Event.BLIND] for alerts in self.am.kept]

    def test_blindness_while_it_lasts(self) -> None:
        self.run_(make_task("a", interval=5.0))
        self.world.pass_time(62, step=0.5)
        self.ill = {"a": OWN}
        self.world.pass_time(120, step=0.5)
        since = self.board.blind
        self.ill = {}
        self.world.pass_time(60, step=0.5)
        self.assertEqual(self.blind(), [[], [since], [since], []])
        self.assertIn("no file descriptors left", self.am.kept[1][0].explanation)

    def test_once_it_has_lasted(self) -> None:
        """A channel with ``after`` is sent it only then."""
        self.build(make_task("a", interval=5.0))
        self.use(ChannelRoute("am", after=100.0))
        self.monitor.start()
        self.ill = {"a": OWN}
        self.world.pass_time(190, step=0.5)
        self.assertEqual([len(each) for each in self.blind()], [0, 1, 1])

    def test_a_wrong_clock(self) -> None:
        self.run_(make_task("a", interval=3600.0))
        self.checker.condition.set_clock(600.0)
        self.world.pass_time(60, step=0.5)
        self.checker.condition.set_clock(None)
        self.world.pass_time(60, step=0.5)
        first, second = self.am.kept
        self.assertEqual([alert.explanation.startswith(IS_WRONG) for alert in first], [True])
        self.assertEqual(second, [])


class RoundTests(KeepingCase):
    def test_failures_are_logged_once(self) -> None:
        self.run_(make_task("a", interval=3600.0))
        outcomes = [fail(DeliveryError("no answer")), fail(DeliveryError("HTTP 500")), None, fail(DeliveryError("no"))]
        self.am.hear = lambda: outcomes.pop(0) if outcomes else None
        self.world.pass_time(270, step=0.5)
        self.assertEqual(
            self.logged(),
            [
                (LogLevel.warn, "the open alerts of am were not kept alive: no answer"),
                (LogLevel.debug, "the open alerts of am were not kept alive: HTTP 500"),
                (LogLevel.info, "the open alerts of am are kept alive again"),
                (LogLevel.warn, "the open alerts of am were not kept alive: no"),
            ],
        )

    def test_unexpected_errors(self) -> None:
        """They are logged, and the next round is made."""
        self.run_(make_task("a", interval=3600.0))
        self.am.hear = lambda: fail(ZeroDivisionError())
        self.world.pass_time(125, step=0.5)
        self.assertEqual(len(self.am.kept), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_a_hanging_channel(self) -> None:
        """Its rounds do not overlap, have a time limit, and delay neither checks nor other channels."""
        self.build(make_task("a", interval=30.0))
        self.use(ChannelRoute("am"), ChannelRoute("am other"))
        hanging: list[Deferred[None]] = []

        def hang() -> Deferred[None]:
            hanging.append(Deferred())
            return hanging[-1]

        self.am.hear = hang
        self.monitor.start()
        self.world.pass_time(245, step=0.5)
        self.assertEqual((len(self.am.kept), len(self.other.kept)), (4, 4))
        self.assertEqual([each.called for each in hanging], [True, True, True, False])
        self.assertEqual(len(self.fetcher.times()), 9)
        self.assertIn((LogLevel.warn, "the open alerts of am were not kept alive: no answer in time"), self.logged())

    def test_a_reload_keeps_the_round_of_channels_that_stay(self) -> None:
        self.build(make_task("a", interval=30.0))
        self.use(ChannelRoute("am"), ChannelRoute("am other"))
        mine, others = Deferred[None](), Deferred[None]()
        self.am.hear, self.other.hear = lambda: mine, lambda: others
        self.monitor.start()
        self.world.pass_time(61, step=0.5)
        self.use(ChannelRoute("am"), ChannelRoute("slack"))
        self.assertEqual((mine.called, others.called), (False, True))
        mine.callback(None)
        self.am.hear = lambda: None
        self.world.pass_time(60, step=0.5)
        self.assertEqual((len(self.am.kept), len(self.other.kept)), (2, 1))
        self.assertEqual(self.logged(), [])

    def test_no_channels(self) -> None:
        """As with ``only_log``: nothing is sent."""
        self.build(make_task("a", interval=30.0))
        self.use()
        self.monitor.start()
        self.ill = {"a": REFUSED}
        self.world.pass_time(200, step=0.5)
        self.assertEqual((self.am.kept, self.other.kept), ([], []))

    def test_stop(self) -> None:
        self.run_(make_task("a", interval=3600.0))
        hanging = Deferred[None]()
        self.am.hear = lambda: hanging
        self.world.pass_time(61, step=0.5)
        self.keeper.stop()
        self.assertTrue(hanging.called)
        self.world.pass_time(200, step=0.5)
        self.assertEqual(len(self.am.kept), 1)
        self.assertEqual(self.logged(), [])
