"""Channels with ``match``, ``events`` and ``after`` under the monitor (contract, section 4, "Routing")."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail

from pypinger.domain.model import Event, Fault, NoAnswer, Task
from pypinger.domain.routing import DEFAULT_EVENTS, ChannelRoute, Routing
from pypinger.domain.selector import parse
from pypinger.ports.notifying import DeliveryError
from pypinger.runtime.outboxsettings import OutboxSettings
from tests.runtime.fakes import FakeNotifier, make_task
from tests.runtime.test_alerting import REFUSED, AlertingCase

OWN = NoAnswer(Fault.OWN, "no file descriptors left", 0.0)


class RoutingCase(AlertingCase):
    def build(self, *tasks: Task, **values: object) -> None:
        super().build(*tasks, **values)
        self.pager = FakeNotifier("pager")
        self.use(ChannelRoute("slack"), ChannelRoute("pager", after=600.0))

    def use(self, *routes: ChannelRoute) -> None:
        notifiers = {"slack": self.notifier, "pager": self.pager}
        on = tuple(notifiers[route.channel] for route in routes)
        self.outbox.update(OutboxSettings(on, Routing(routes)))

    def paged(self, name: str = "a") -> list[str]:
        return [alert.event.value for alert in self.pager.sent if alert.task == name]


class EscalationTests(RoutingCase):
    def test_it_comes_at_its_time(self) -> None:
        self.run_(make_task(interval=3600.0))
        self.ill = {"a": REFUSED}
        self.world.pass_time(599, step=0.5)
        self.assertEqual((self.told(), self.paged()), (["problem", "reminder"], []))
        self.world.pass_time(2, step=0.5)
        self.assertEqual(self.paged(), ["reminder"])
        self.ill = {}
        self.world.pass_time(3600, step=1)
        self.assertEqual((self.paged()[-1], self.told()[-1]), ("recovered", "recovered"))

    def test_together_with_a_reminder(self) -> None:
        """One message is enough."""
        for events in (DEFAULT_EVENTS, DEFAULT_EVENTS - {Event.REMINDER}):
            self.run_(make_task(interval=3600.0))
            self.use(ChannelRoute("slack"), ChannelRoute("pager", events=events, after=480.0))
            self.ill = {"a": REFUSED}
            self.world.pass_time(700, step=0.5)
            first = "reminder" if Event.REMINDER in events else "problem"
            self.assertEqual((self.told(), self.paged()), (["problem", "reminder"], [first]))

    def test_not_while_silenced(self) -> None:
        self.run_(make_task(interval=60.0, error_interval=0.0))
        self.ill = {"a": REFUSED}
        self.world.pass_time(70, step=0.5)
        self.silence("a", 1200)
        self.world.pass_time(1195, step=1)
        self.assertEqual(self.paged(), [])
        self.world.pass_time(10, step=0.5)
        self.assertEqual(self.paged(), ["reminder"])

    def test_after_a_restart(self) -> None:
        task = make_task(interval=60.0, error_interval=0.0)
        self.run_(task)
        self.ill = {"a": REFUSED}
        self.world.pass_time(70, step=0.5)
        state, ill = self.state(), self.ill
        self.build(task)
        self.ill = ill
        self.monitor.resume({task.url: state})
        self.monitor.start()
        self.world.pass_time(580, step=0.5)
        self.assertEqual(self.paged(), [])
        self.world.pass_time(30, step=0.5)
        self.assertEqual((self.paged(), self.told()), (["reminder"], []))

    def test_a_channel_that_a_reload_adds(self) -> None:
        tasks = [make_task("a", interval=3600.0, error_interval=0.0), make_task("b", interval=3600.0)]
        self.run_(*tasks)
        self.use(ChannelRoute("slack"))
        self.ill = {"a": REFUSED}
        self.world.pass_time(3700, step=0.5)
        self.use(ChannelRoute("slack"), ChannelRoute("pager", parse("a")))
        self.monitor.update(tasks)
        self.world.pass_time(1, step=0.5)
        self.monitor.update(tasks)
        self.world.pass_time(100, step=0.5)
        self.assertEqual((self.paged(), self.told()), (["reminder"], ["problem"]))


class JoiningTests(RoutingCase):
    """The alert by which a channel joins is refused, or waits."""

    def break_(self, *names: str, route: ChannelRoute | None = None) -> None:
        self.run_(*(make_task(name, interval=3600.0, error_interval=0.0) for name in names))
        self.use(ChannelRoute("slack"), route or ChannelRoute("pager", after=600.0))
        self.ill = dict.fromkeys(names, REFUSED)

    def recover(self) -> None:
        names, self.ill = list(self.ill), {}
        for name in names:
            self.monitor.check_now(f"http://host/{name}")
        self.world.pass_time(1)

    def test_refused_and_told_again(self) -> None:
        """It is sent again once the channel works, like a problem that died (contract, section 4)."""
        for events in (DEFAULT_EVENTS, DEFAULT_EVENTS - {Event.REMINDER}, DEFAULT_EVENTS - {Event.PROBLEM}):
            self.break_("a", route=ChannelRoute("pager", after=600.0, events=events))
            self.pager.respond = lambda alert: fail(DeliveryError("no such room", permanent=True))
            self.world.pass_time(700, step=0.5)
            (first,) = self.pager.tried
            self.pager.respond = lambda alert: "ok"
            for _ in range(2):
                self.outbox.works("pager")
                self.world.pass_time(1)
            self.assertEqual(self.paged(), [first.event.value])
            self.assertNotEqual(self.pager.sent[0].id, first.id)
            self.recover()
            self.assertEqual(self.paged(), [first.event.value, "recovered"])
            self.assertEqual(self.board.dead, 0)

    def test_other_reminders_are_not_told_again(self) -> None:
        self.run_(make_task(interval=3600.0))
        self.ill = {"a": REFUSED}
        self.world.pass_time(100, step=0.5)
        self.notifier.respond = lambda alert: fail(DeliveryError("no such room", permanent=True))
        self.world.pass_time(600, step=0.5)
        self.assertEqual(len(self.notifier.tried), 2)
        self.notifier.respond = lambda alert: "ok"
        self.outbox.works("slack")
        self.world.pass_time(1)
        self.assertEqual(self.told(), ["problem"])

    def test_the_end_comes_before_it_is_sent(self) -> None:
        """A channel hears of the end only if it heard of the incident."""
        self.break_("a", "b")
        gate: Deferred[str] = Deferred()
        self.pager.respond = lambda alert: gate
        self.world.pass_time(615, step=0.5)
        (tried,) = (alert.task for alert in self.pager.tried)
        waits = "ab".replace(tried, "")
        self.recover()
        self.pager.respond = lambda alert: "ok"
        gate.callback("ok")
        self.world.pass_time(5)
        self.assertEqual((self.paged(tried), self.paged(waits)), (["reminder", "recovered"], []))
        self.assertEqual(self.told(waits), ["problem", "recovered"])
        self.assertEqual(self.board.undelivered, 0)

    def test_the_end_comes_after_an_attempt(self) -> None:
        """The channel may have heard of it: an answer may be lost."""
        self.break_("a")
        self.pager.respond = lambda alert: fail(DeliveryError("no answer within 20 s", retry_after=30))
        self.world.pass_time(605, step=0.5)
        self.pager.respond = lambda alert: "ok"
        self.recover()
        self.world.pass_time(40, step=0.5)
        self.assertEqual(self.paged(), ["recovered"])


class BlindTests(RoutingCase):
    def test_told_once_it_has_lasted(self) -> None:
        self.run_(make_task(interval=5.0))
        self.world.pass_time(6, step=0.5)
        self.ill = {"a": OWN}
        self.world.pass_time(590, step=0.5)
        blind = [alert.event for alert in self.notifier.sent if alert.event is Event.BLIND]
        self.assertEqual(blind, [Event.BLIND, Event.BLIND])  # and its first reminder
        self.assertEqual(self.pager.sent, [])
        self.world.pass_time(30, step=0.5)
        self.assertEqual([alert.event for alert in self.pager.sent], [Event.BLIND])
        self.ill = {}
        self.world.pass_time(20, step=0.5)
        self.assertEqual([alert.event for alert in self.pager.sent], [Event.BLIND, Event.SIGHTED])

    def test_nothing_of_what_was_short(self) -> None:
        self.run_(make_task(interval=5.0))
        self.ill = {"a": OWN}
        self.world.pass_time(100, step=0.5)
        self.ill = {}
        self.world.pass_time(700, step=0.5)
        self.assertEqual(self.pager.sent, [])
        self.assertEqual(self.notifier.sent[-1].event, Event.SIGHTED)

    def test_together_with_a_reminder(self) -> None:
        self.run_(make_task(interval=5.0))
        self.use(ChannelRoute("slack"), ChannelRoute("pager", after=480.0))
        self.world.pass_time(6.1, step=0.7)
        self.ill = {"a": OWN}
        self.world.pass_time(600, step=0.7)
        self.assertEqual([alert.event for alert in self.pager.sent], [Event.BLIND])
        self.assertEqual([alert.event for alert in self.notifier.sent], [Event.BLIND, Event.BLIND])

    def test_channels_that_a_reload_adds(self) -> None:
        """They are told at once, others not again; one with ``after`` at its time."""
        for after, delay in ((0.0, 0), (60.0, 0), (600.0, 520)):
            self.run_(make_task(interval=5.0, error_interval=0.0))
            self.use(ChannelRoute("slack"))
            self.world.pass_time(6, step=0.5)
            self.ill = {"a": OWN}
            self.world.pass_time(100, step=0.5)
            self.use(ChannelRoute("slack"), ChannelRoute("pager", after=after))
            for _ in range(2):
                self.checker.configure(self.checker.fetches.settings)
                self.world.pass_time(1, step=0.5)
            self.world.pass_time(delay, step=0.5)
            self.assertEqual([alert.event for alert in self.pager.sent], [Event.BLIND])
            self.assertIn("this has lasted", self.pager.sent[0].explanation)
            self.assertEqual([alert.event for alert in self.notifier.sent].count(Event.BLIND), 1 + (delay > 0))
            self.ill = {}
            self.world.pass_time(20, step=0.5)
            for notifier in (self.pager, self.notifier):
                self.assertEqual(notifier.sent[-1].event, Event.SIGHTED)

    def test_channels_that_a_restart_adds(self) -> None:
        self.run_(make_task(interval=5.0, error_interval=0.0))
        self.use(ChannelRoute("slack"))
        self.world.pass_time(6, step=0.5)
        self.ill = {"a": OWN}
        self.world.pass_time(100, step=0.5)
        store, world, ill = self.store, self.world, self.ill
        self.build(*self.tasks)
        self.use(ChannelRoute("slack"), ChannelRoute("pager", after=60.0))
        self.ill, self.world.offset = ill, world.now() + 10
        self.checker.resume(store.open())
        self.monitor.start()
        self.world.pass_time(10, step=0.5)
        self.assertEqual([alert.event for alert in self.pager.sent], [Event.BLIND])
        self.assertEqual(self.notifier.sent, [])
        self.ill = {}
        self.world.pass_time(20, step=0.5)
        self.assertEqual([alert.event for alert in self.notifier.sent], [Event.SIGHTED])

    def test_a_channel_that_a_reload_adds_before(self) -> None:
        """It is told when blindness begins, and not again by later reloads."""
        self.run_(make_task(interval=5.0))
        self.use(ChannelRoute("slack"))
        self.world.pass_time(6, step=0.5)
        self.use(ChannelRoute("slack"), ChannelRoute("pager"))
        self.checker.configure(self.checker.fetches.settings)
        self.ill = {"a": OWN}
        self.world.pass_time(10, step=0.5)
        self.use(ChannelRoute("slack"))
        self.checker.configure(self.checker.fetches.settings)
        self.use(ChannelRoute("slack"), ChannelRoute("pager"))
        self.checker.configure(self.checker.fetches.settings)
        self.world.pass_time(10, step=0.5)
        self.assertEqual([alert.event for alert in self.pager.sent], [Event.BLIND])

    def test_a_clock_that_is_put_right(self) -> None:
        """How long it was wrong is no matter of that clock."""
        for step, lasted, events in (
            (-7200.0, 700, [Event.BLIND, Event.SIGHTED]),
            (7200.0, 700, [Event.BLIND, Event.SIGHTED]),
            (7200.0, 100, []),
        ):
            self.run_(make_task(interval=3600.0))
            self.checker.condition.set_clock(step)
            self.world.pass_time(lasted, step=0.5)
            self.world.offset += step
            self.checker.condition.set_clock(None)
            self.assertEqual([alert.event for alert in self.pager.sent], events)
