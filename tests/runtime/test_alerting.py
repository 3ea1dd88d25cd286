"""From checks to messages with what section 4 of the contract adds: rounds, digests, silences, holds."""

from __future__ import annotations

from collections import deque

from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Answer, Event, Fault, NoAnswer, Observation, Task, Window
from pypinger.domain.selector import parse
from pypinger.domain.silence import Maintenance, Silence
from pypinger.ports.notifying import DeliveryError
from pypinger.ports.storing import Kept
from pypinger.runtime.silencing import SilenceError, Silencing
from pypinger.runtime.watch import TURNS
from tests.runtime.fakes import NOON, body, channels_on, make_task
from tests.runtime.test_monitor import MonitorCase

REFUSED = NoAnswer(Fault.REFUSED, "connection refused by host:80", 0.0)


class AlertingCase(MonitorCase):
    """The monitor with silences, and a channel that groups."""

    def build(self, *tasks: Task, **values: object) -> None:
        super().build(*tasks, **values)  # type: ignore[arg-type]
        self.notifier.groups = True
        self.outbox.update(channels_on([self.notifier]))
        self.ill: dict[str, Observation] = {}
        self.fetcher.answer = lambda task: self.ill.get(task.name) or Answer(200, body(self.world.now()), 0.1)
        self.silencing = Silencing(self.world.clock, self.world.now, self.store, self.board.entries)
        self.board.mute_with(self.silencing.muted)
        self.silencing.start(self.monitor.silences_changed)
        self.addCleanup(self.silencing.stop)

    def run_(self, *tasks: Task) -> None:
        self.build(*tasks)
        self.monitor.start()

    def silence(self, selector: str, seconds: float) -> Silence:
        adding = Deferred.fromCoroutine(self.silencing.add(selector, seconds, "why", "jane"))
        return self.successResultOf(adding)[0]

    def told(self, name: str = "a") -> list[str]:
        return [alert.event.value for alert in self.notifier.sent if alert.task == name]


class RoundTests(AlertingCase):
    def tasks(self, count: int) -> list[Task]:
        return [make_task(str(number), interval=600.0) for number in range(count)]

    def test_all_tasks_of_a_host_are_told_in_two_messages(self) -> None:
        tasks = self.tasks(40)
        self.run_(*tasks)
        self.world.pass_time(700, step=0.5)
        self.ill = {task.name: REFUSED for task in tasks}
        self.world.pass_time(700, step=0.5)
        self.assertEqual([len(message) for message in self.notifier.messages], [1, 39])

    def test_three_others_say_whether_the_rest_is_checked(self) -> None:
        tasks = self.tasks(10)
        self.run_(*tasks)
        self.world.pass_time(599.5, step=0.5)
        before = len(self.fetcher.asked)
        self.ill = {"0": REFUSED}
        self.world.pass_time(0.9, step=0.1)
        self.assertEqual(len(self.fetcher.asked) - before, 4)
        self.assertEqual(self.told("0"), ["problem"])
        self.assertEqual(self.notifier.messages, [(int(self.notifier.sent[0].id, 16),)])

    def test_the_group_waits_for_the_round(self) -> None:
        tasks = self.tasks(6)
        self.run_(*tasks)
        self.world.pass_time(599.5, step=0.5)
        slow: dict[str, Deferred[Observation]] = {str(number): Deferred() for number in range(1, 6)}
        self.fetcher.answer = lambda task: REFUSED if task.name == "0" else slow[task.name]
        self.world.pass_time(12, step=0.1)
        for number in (1, 2, 3):
            slow[str(number)].callback(REFUSED)
        self.world.pass_time(6, step=0.1)
        self.assertEqual(len(self.notifier.messages), 1)
        for number in (4, 5):
            slow[str(number)].callback(REFUSED)
        self.world.pass_time(1, step=0.1)
        self.assertEqual([len(message) for message in self.notifier.messages], [1, 5])

    def fall_silent_one_by_one(self, count: int = 3, *others: Task) -> None:
        """The holds of some tasks begin, and end, at intervals that are longer than a group waits for others."""
        self.run_(*(make_task(str(number), interval=600.0, unreachable_for=60.0) for number in range(count)), *others)
        self.world.pass_time(50, step=0.5)
        for number in range(count):
            self.ill[str(number)] = REFUSED
            self.monitor.check_now(f"http://host/{number}")
            self.world.pass_time(8, step=0.5)

    def test_the_group_waits_for_holds_that_end_within_a_timeout(self) -> None:
        self.fall_silent_one_by_one()
        self.world.pass_time(60, step=0.5)
        self.assertEqual([len(message) for message in self.notifier.messages], [1, 2])

    def test_a_hold_that_ends_while_silenced_is_not_the_first(self) -> None:
        self.fall_silent_one_by_one(5)
        self.silence("0", 3600.0)
        self.world.pass_time(70, step=0.5)
        self.assertEqual([len(message) for message in self.notifier.messages[:2]], [1, 2])

    def test_the_group_waits_for_no_longer_than_a_timeout(self) -> None:
        self.fall_silent_one_by_one(6)
        self.world.pass_time(60, step=0.5)
        self.assertEqual([len(message) for message in self.notifier.messages[:2]], [1, 2])

    def test_the_group_does_not_wait_for_a_row_that_is_not_complete(self) -> None:
        """The hold of one task has ended before, but it has failed too seldom."""
        patient = make_task("x", interval=600.0, unreachable_for=1.0, failures=3)
        self.fall_silent_one_by_one(0, patient)
        self.ill = {"x": REFUSED}
        self.monitor.check_now("http://host/x")
        self.world.pass_time(5, step=0.5)
        self.monitor.take({})
        held = [make_task(str(number), interval=600.0, unreachable_for=60.0) for number in range(2)]
        self.monitor.update([patient, *held])
        self.world.pass_time(10, step=0.5)
        for each in held:
            self.ill[each.name] = REFUSED
            self.monitor.check_now(each.key)
        self.world.pass_time(62, step=0.5)
        self.assertEqual(len(self.notifier.messages), 1)
        self.world.pass_time(5, step=0.5)
        self.assertEqual([len(message) for message in self.notifier.messages], [1, 1])

    def test_the_group_does_not_wait_for_a_hold_that_has_ended_well(self) -> None:
        self.fall_silent_one_by_one()
        self.world.pass_time(46, step=0.5)
        self.assertEqual([len(message) for message in self.notifier.messages], [1])
        del self.ill["2"]
        self.monitor.check_now("http://host/2")
        self.world.pass_time(1)
        self.assertEqual([len(message) for message in self.notifier.messages], [1, 1])


class DigestTests(AlertingCase):
    def test_reminders_that_fall_due_within_a_minute_go_together(self) -> None:
        tasks = [make_task(str(number), interval=60.0, error_interval=480.0) for number in range(10)]
        self.run_(*tasks)
        self.ill = {task.name: REFUSED for task in tasks}
        self.world.pass_time(600, step=0.5)
        digests = [alert for alert in self.notifier.sent if alert.event is Event.REMINDER]
        self.assertEqual(len(digests), 10)
        self.assertEqual(len({round(alert.at) for alert in digests}), 1)
        self.assertEqual(len(self.notifier.messages[-1]), 10)

    def test_no_reminder_while_acknowledged(self) -> None:
        self.run_(make_task(interval=60.0))
        self.ill = {"a": REFUSED}
        self.world.pass_time(70, step=0.5)
        self.successResultOf(Deferred.fromCoroutine(self.monitor.acknowledge("http://host/a", "jane", "on it")))
        self.world.pass_time(1000, step=1)
        self.assertEqual(self.told(), ["problem", "acknowledged"])


class SilencedStormTests(AlertingCase):
    """A storm lasts for as long as incidents that were announced are open."""

    def setUp(self) -> None:
        self.three = [make_task(name, interval=60.0) for name in "abc"]

    def check_third(self) -> None:
        """The problem of another task of the host goes out at once, as there is no storm."""
        self.ill = {"c": REFUSED}
        self.monitor.check_now("http://host/c")
        self.world.pass_time(0.5)
        self.assertEqual(self.told("c"), ["problem"])

    def test_incidents_that_end_while_silenced(self) -> None:
        self.run_(*self.three)
        self.world.pass_time(65)
        self.ill = {"a": REFUSED, "b": REFUSED}
        self.world.pass_time(70)
        self.assertEqual((self.told("a"), self.told("b")), (["problem"], ["problem"]))
        self.silence("a|b", 3600)
        self.ill = {}
        self.world.pass_time(130)
        self.assertEqual(self.told("a"), ["problem"])
        self.check_third()

    def test_silenced_incidents_over_a_restart(self) -> None:
        self.run_(*self.three)
        self.silence("a|b", 3600)
        self.ill = {"a": REFUSED, "b": REFUSED}
        self.world.pass_time(70)
        states = {task.url: self.state(task.name) for task in self.three}
        self.build(*self.three)
        self.silence("a|b", 3600)
        self.monitor.resume(states)
        self.outbox.resume(Kept(states, [], 0))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.outbox.stop(0)) and None)
        self.monitor.start()
        self.world.pass_time(70)
        self.assertIsNone(self.state("a").incident)
        self.check_third()


class SilenceTests(AlertingCase):
    def test_told_when_it_ends(self) -> None:
        self.run_(make_task(interval=60.0))
        self.world.pass_time(10)
        self.silence("a", 300)
        self.ill = {"a": REFUSED}
        self.world.pass_time(280, step=0.5)
        self.assertEqual(self.told(), [])
        entry = self.board.by_id("a")
        assert entry is not None
        assert entry.muted is not None
        self.assertEqual((entry.muted.reason, entry.muted.by), ("why", "jane"))
        self.world.pass_time(20, step=0.1)
        self.assertEqual(self.told(), ["problem"])

    def test_a_kind(self) -> None:
        """There are no alerts of a task while its incident is of that kind."""
        self.run_(make_task(interval=60.0))
        self.silence("kind:unreachable", 3600)
        self.ill = {"a": REFUSED}
        self.world.pass_time(100, step=0.5)
        self.assertEqual((self.state().kind, self.told()), (Kind.UNREACHABLE, []))
        self.ill = {}
        self.world.pass_time(70, step=0.5)
        self.assertEqual((self.state().kind, self.told()), (Kind.OK, []))
        self.ill = {"a": REFUSED}
        self.world.pass_time(70, step=0.5)
        self.ill = {"a": Answer(200, body(self.world.now(), status="error"), 0.1)}
        self.world.pass_time(70, step=0.5)
        self.assertEqual(self.told(), ["problem"])
        self.assertEqual(self.notifier.sent[-1].kind, Kind.FAILED)
        self.ill = {"a": REFUSED}
        self.world.pass_time(70, step=0.5)
        self.assertEqual(self.told(), ["problem"])

    def test_it_ends_while_what_it_holds_back_is_committed(self) -> None:
        self.run_(make_task(interval=60.0, error_interval=0.0))
        self.world.pass_time(10)
        silence = self.silence("kind:unreachable", 3600)
        self.ill = {"a": REFUSED}
        self.store.slow = True
        self.world.pass_time(60, step=0.5)
        self.store.slow = False
        self.successResultOf(Deferred.fromCoroutine(self.silencing.end(silence.id)))
        self.assertEqual((self.told(), len(self.store.waiting)), ([], 1))
        self.store.waiting[0].callback(None)
        self.world.pass_time(1)
        self.assertEqual(self.told(), ["problem"])

    def test_a_recovery_that_the_kind_holds_back(self) -> None:
        """Once the task is OK the silence no longer matches it, so the recovery is sent then."""
        self.run_(make_task(interval=60.0))
        self.ill = {"a": REFUSED}
        self.world.pass_time(70, step=0.5)
        answer: Deferred[Observation] = Deferred()
        self.fetcher.answer = lambda task: answer
        self.world.pass_time(55, step=0.5)
        self.silence("kind:unreachable", 3600)
        answer.callback(Answer(200, body(self.world.now()), 0.1))
        self.world.pass_time(5)
        self.assertEqual(self.told(), ["problem", "recovered"])

    def test_tags_of_the_first_report(self) -> None:
        failed = body(NOON, status="error", extra=', "server": "web1", "process": "backup"')
        for selector, told in (("server:web1", []), ("process:backup", []), ("server:web2", ["problem"])):
            self.build(make_task(interval=60.0))
            self.silencing.configure([Maintenance("move", parse(selector), start=NOON, until=NOON + 1e6)])
            self.ill = {"a": Answer(200, failed, 0.1)}
            self.monitor.start()
            self.world.pass_time(70, step=0.5)
            self.assertEqual(self.told(), told, selector)

    def test_it_ends_during_a_check_that_finds_a_problem(self) -> None:
        """There is one problem, without a reminder."""
        self.run_(make_task(interval=60.0, error_interval=0.0))
        self.world.pass_time(10)
        self.silence("a", 60)
        answer: Deferred[Observation] = Deferred()
        self.fetcher.answer = lambda task: answer
        self.world.pass_time(70, step=0.5)
        answer.callback(REFUSED)
        self.world.pass_time(10, step=0.5)
        self.assertEqual(self.told(), ["problem"])

    def test_it_ends_as_the_task_wakes(self) -> None:
        """The check that finds the task late tells it, and no reminder follows."""
        self.run_(make_task(interval=60.0, error_interval=0.0))
        night = body(NOON - 3600, extra=', "sleep": [{"start": "12:00", "duration": 10}]')
        self.ill = {"a": Answer(200, night, 0.1)}
        self.silencing.configure([Maintenance("night", parse("a"), start=NOON, until=NOON + 600)])
        self.world.pass_time(1300, step=0.5)
        self.assertEqual((self.state().kind, self.told()), (Kind.LATE, ["problem"]))

    def test_the_clock_is_set_back(self) -> None:
        self.run_(make_task(interval=60.0))
        self.world.pass_time(10)
        self.silence("a", 7200)
        self.world.offset -= 3600
        self.ill = {"a": REFUSED}
        self.world.pass_time(130, step=0.5)
        self.assertEqual((self.state().kind, self.told()), (Kind.UNREACHABLE, []))

    def test_a_recovery_follows(self) -> None:
        self.run_(make_task(interval=60.0))
        self.ill = {"a": REFUSED}
        self.world.pass_time(70, step=0.5)
        silence = self.silence("a", 3600)
        self.ill = {}
        self.world.pass_time(100, step=0.5)
        self.assertEqual(self.told(), ["problem"])
        self.successResultOf(Deferred.fromCoroutine(self.silencing.end(silence.id)))
        self.world.pass_time(1)
        self.assertEqual(self.told(), ["problem", "recovered"])

    def test_it_ends_while_the_task_sleeps(self) -> None:
        """The problem is told when the task wakes, since it was never told."""
        self.run_(make_task(interval=60.0, error_interval=0.0))
        night = body(NOON - 3600, extra=', "sleep": [{"start": "12:05", "duration": 10}]')
        self.silence("a", 600)
        self.ill = {"a": Answer(200, night, 0.1)}
        self.world.pass_time(800, step=0.5)
        self.assertEqual((self.state().kind, self.told()), (Kind.SLEEPING, []))
        self.world.pass_time(110, step=0.5)
        self.assertEqual(self.told(), ["problem"])
        self.ill = {}
        self.world.pass_time(100, step=0.5)
        self.assertEqual(self.told(), ["problem", "recovered"])

    def test_it_ends_while_a_task_without_answer_would_sleep(self) -> None:
        window = Window(int(NOON) % 86_400 + 300, 600.0)
        self.run_(make_task(interval=60.0, error_interval=0.0, sleep=(window,)))
        self.silence("a", 600)
        self.ill = {"a": REFUSED}
        self.world.pass_time(890, step=0.5)
        self.assertEqual((self.state().kind, self.told()), (Kind.UNREACHABLE, []))
        self.world.pass_time(20, step=0.5)
        self.assertEqual(self.told(), ["problem"])

    def test_a_recovery_that_is_owed_for_a_task_that_is_no_longer_configured(self) -> None:
        task = make_task(interval=60.0)
        self.run_(task)
        self.ill = {"a": REFUSED}
        self.world.pass_time(70, step=0.5)
        self.silence("a", 3600)
        self.ill = {}
        self.world.pass_time(100, step=0.5)
        state = self.state()
        assert state.owed is not None
        self.build(make_task("b"))
        self.monitor.resume({task.url: state})
        self.world.pass_time(1)
        self.assertEqual(self.told(), ["recovered"])

    def test_it_survives_a_restart(self) -> None:
        task = make_task(interval=60.0)
        self.run_(task)
        self.world.pass_time(10)
        silence = self.silence("a", 300)
        self.ill = {"a": REFUSED}
        self.world.pass_time(100, step=0.5)
        state, ill = self.state(), self.ill
        self.build(task)
        self.ill = ill
        self.silencing.resume([silence])
        self.monitor.resume({task.url: state})
        self.world.offset += 110
        self.monitor.start()
        self.world.pass_time(100, step=0.5)
        self.assertEqual(self.told(), [])
        self.world.pass_time(110, step=0.5)
        self.assertEqual(self.told(), ["problem"])

    def test_maintenance(self) -> None:
        self.run_(make_task(interval=60.0))
        window = Maintenance("move", parse("a"), start=NOON + 100, until=NOON + 400, reason="we move")
        self.silencing.configure([window])
        self.world.pass_time(110, step=0.5)
        self.ill = {"a": REFUSED}
        self.world.pass_time(280, step=0.5)
        self.assertEqual(self.told(), [])
        self.assertEqual([each.text for each in self.silencing.listed()], ["move: we move"])
        self.world.pass_time(20, step=0.5)
        self.assertEqual(self.told(), ["problem"])

    def test_mistakes(self) -> None:
        self.run_(make_task())
        for selector, seconds, words in [
            ("x", 60, "x matches no task"),
            ("", 60, "the selector is empty"),
            ("a", 0, "more than 0 s"),
            ("a", 400 * 86_400.0, "at most"),
            ("nam:a", 60, "did you mean name:?"),
        ]:
            adding = Deferred.fromCoroutine(self.silencing.add(selector, seconds, "", ""))
            self.assertIn(words, str(self.failureResultOf(adding, SilenceError).value))
        # What people see is not what selectors see.
        task = make_task("b", named=False)
        report = Answer(200, body(self.world.now(), extra=', "process": "backup", "server": "db1"'), 0.1)
        self.build(task)
        self.ill = {"b": report}
        self.monitor.start()
        self.world.pass_time(1)
        adding = Deferred.fromCoroutine(self.silencing.add("backup on db1", 60, "", ""))
        words = "backup on db1 is what the reports of http://host/b say; select it by its URL, or by its id b"
        self.assertEqual(str(self.failureResultOf(adding, SilenceError).value), words)
        # What is silenced by its kind may come later.
        self.silence("kind:late", 60)


class HoldTests(AlertingCase):
    def test_a_check_is_made_at_its_end(self) -> None:
        self.run_(make_task(interval=600.0, unreachable_for=60.0))
        self.world.pass_time(10)
        self.ill = {"a": REFUSED}
        self.world.pass_time(595, step=0.5)
        self.assertEqual(self.told(), [])
        self.world.pass_time(60, step=0.1)
        self.assertEqual(self.told(), ["problem"])
        self.assertApproximates(self.notifier.sent[0].at - NOON, 660, 1.5)

    def test_a_row_that_is_short_at_its_end(self) -> None:
        """The checks at the interval complete it; until then ``next_change`` lies in the future, if anywhere."""
        self.run_(make_task(interval=60.0, unreachable_for=60.0, failures=5))
        self.world.pass_time(10)
        self.ill = {"a": REFUSED}
        for _ in range(40):
            self.world.pass_time(5, step=0.1)
            verdict = self.state().verdict
            assert verdict is not None
            if verdict.kind is Kind.UNREACHABLE and verdict.next_change is not None:
                self.assertGreater(verdict.next_change, self.world.now() - 1)
        self.assertEqual((self.state().row, self.told()), (3, []))
        self.world.pass_time(120, step=0.1)
        self.assertEqual(self.told(), ["problem"])

    def test_other_checks_do_not_delay_it(self) -> None:
        self.run_(make_task(interval=600.0, unreachable_for=10.0))
        (watch,) = self.monitor._watches.values()
        watch.turns = deque([self.world.clock.seconds()] * TURNS, maxlen=TURNS)
        self.ill = {"a": REFUSED}
        self.monitor.check_now("http://host/a")
        self.world.pass_time(12, step=0.1)
        self.assertEqual(self.told(), ["problem"])

    def test_the_clock_is_set_back(self) -> None:
        self.run_(make_task(interval=20.0, unreachable_for=60.0))
        self.world.pass_time(10)
        self.ill = {"a": REFUSED}
        self.world.pass_time(30, step=0.5)
        self.world.offset -= 3600
        self.world.pass_time(100, step=0.5)
        self.assertEqual(self.told(), ["problem"])

    def test_a_deploy_wakes_no_one(self) -> None:
        self.run_(make_task(interval=600.0, unreachable_for=60.0))
        self.world.pass_time(590, step=0.5)
        self.ill = {"a": REFUSED}
        self.world.pass_time(30, step=0.5)
        self.ill = {}
        self.world.pass_time(700, step=0.5)
        self.assertEqual(self.told(), [])


class StaleReminderTests(AlertingCase):
    # Hundreds of tasks; other tests reach the same code with a few.
    unmeasured = True

    def test_news_does_not_wait_for_reminders_of_what_is_over(self) -> None:
        """300 tasks recover while the channel was down with reminders waiting; a new problem comes."""
        tasks = [make_task(str(number), interval=60.0, error_interval=60.0) for number in range(300)]
        new = replace(make_task("new", interval=60.0), origin="http://other:80", url="http://other/new")
        self.run_(*tasks, new)
        self.notifier.spacing = 1.0
        self.ill = {task.name: REFUSED for task in tasks}
        self.world.pass_time(100, step=0.5)
        self.notifier.respond = lambda alert: fail(DeliveryError("down"))
        self.world.pass_time(100, step=0.5)
        self.ill = {}
        self.world.pass_time(70, step=0.5)
        self.notifier.respond = lambda alert: "ok"
        self.world.pass_time(60, step=0.5)
        before = len(self.notifier.sent)
        self.ill = {"new": REFUSED}
        self.world.pass_time(63, step=0.5)
        (problem,) = self.told("new")
        self.assertEqual(problem, "problem")
        self.assertNotIn(Event.REMINDER, {alert.event for alert in self.notifier.sent[before:]})
