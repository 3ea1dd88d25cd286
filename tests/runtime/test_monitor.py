"""When checks, reminders and commits happen, on a fake clock with the real judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Answer, Fault, NoAnswer, Observation, Task, TaskState, Window
from pypinger.domain.redaction import Secrets
from pypinger.domain.times import iso
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.check import Checker
from pypinger.runtime.fetches import CheckSettings
from pypinger.runtime.loops import offsets
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.runs import RunFeed
from pypinger.runtime.stuck import STUCK
from tests.runtime.fakes import (
    NOON,
    FakeFetcher,
    FakeNotifier,
    FakeObserver,
    SlowStore,
    World,
    body,
    channels_on,
    make_task,
)

Answering = Callable[[Task], "Observation | Deferred[Observation]"]


class MonitorCase(SynchronousTestCase):
    def build(self, *tasks: Task, concurrency: int = 256, log_judged: bool = False) -> None:
        self.world = World()
        self.tasks = tasks
        self.fetcher = FakeFetcher(self.world)
        self.secrets = Secrets({"hunter22"})
        self.store = SlowStore()
        self.board = LiveBoard(tasks, self.world.now)
        self.notifier, self.observer = FakeNotifier(), FakeObserver()
        self.outbox = Outbox(
            self.world.clock, self.world.now, self.store, self.board, channels_on([self.notifier], group_wait=0)
        )
        self.checker = Checker(
            self.world.clock,
            self.world.now,
            self.store,
            self.outbox,
            self.board,
            RunFeed(self.world.clock, [self.observer]),
            CheckSettings(self.fetcher, concurrency, self.secrets, log_judged),
        )
        self.monitor = Monitor(self.world.clock, self.world.now, tasks, self.checker, self.board, self.outbox)
        # A check that waits for a permit must not continue when the garbage of a test is collected.
        self.addCleanup(lambda monitor: Deferred.fromCoroutine(monitor.stop()) and None, self.monitor)

    def start(self, *tasks: Task, answer: Answering | None = None, concurrency: int = 256) -> None:
        self.build(*tasks, concurrency=concurrency)
        if answer is not None:
            self.fetcher.answer = answer
        self.monitor.start()

    def state(self, name: str = "a") -> TaskState:
        entry = self.board.by_id(name)
        assert entry is not None
        return entry.state

    def ran_at(self, lastrun: float, **members: object) -> Answering:
        return lambda task: Answer(200, body(lastrun, **members), 0.1)  # type: ignore[arg-type]


class ScheduleTests(MonitorCase):
    def test_offsets(self) -> None:
        self.assertEqual(offsets([make_task(str(n), interval=60.0) for n in range(4)]), [0, 2.5, 5, 7.5])
        self.assertEqual(offsets([make_task(str(n), interval=2.0) for n in range(4)]), [0, 0.5, 1, 1.5])
        many = offsets([make_task(str(n), interval=60.0) for n in range(3000)])
        self.assertAlmostEqual(many[1500], 15.0)
        self.assertEqual(many[1501:1506], [15.0, 15.0, 15.0, 15.0, 15.05])
        self.assertEqual(offsets([]), [])

    def test_missed_rounds_are_skipped(self) -> None:
        """After a reactor has stood still for five rounds each task is checked once, and keeps its offset."""
        tasks = [make_task(str(number), interval=60.0) for number in range(3)]
        self.start(*tasks)
        self.world.pass_time(30)
        self.world.clock.advance(300)
        self.world.pass_time(60)
        self.assertEqual(
            [[round(at) for at in self.fetcher.times(task.name)] for task in tasks],
            [[0, 330, 360], [3, 330, 363], [7, 330, 367]],
        )

    def test_first_at_its_offset_then_every_interval(self) -> None:
        self.start(make_task("a", interval=60.0), make_task("b", interval=30.0))
        self.world.pass_time(100)
        self.assertEqual([round(at) for at in self.fetcher.times("a")], [0, 60])
        self.assertEqual([round(at) for at in self.fetcher.times("b")], [5, 35, 65, 95])
        self.assertEqual(self.state().pings, 2)

    def test_a_first_check_that_is_late(self) -> None:
        """The start of many tasks takes long; those that follow are on time."""
        tasks = [make_task(str(number), interval=30.0) for number in range(4)]
        self.start(*tasks)
        self.world.clock.advance(6.0)
        self.world.pass_time(72, step=0.5)
        self.assertEqual(
            [[round(at, 1) for at in self.fetcher.times(task.name)] for task in tasks],
            [[6, 30, 60], [6, 32.5, 62.5], [6, 35, 65], [7.5, 37.5, 67.5]],
        )

    def test_late_by_more_than_an_interval(self) -> None:
        tasks = [make_task(str(number), interval=30.0) for number in range(2)]
        self.start(*tasks)
        self.world.clock.advance(40.0)
        self.world.pass_time(60, step=0.5)
        self.assertEqual([round(at, 1) for at in self.fetcher.times("1")], [40, 70, 100])

    def test_a_check_is_not_doubled(self) -> None:
        gates: list[Deferred[Observation]] = []

        def answer(task: Task) -> Deferred[Observation]:
            gates.append(Deferred())
            return gates[-1]

        self.start(make_task(interval=10.0), answer=answer)
        self.world.pass_time(35)
        self.assertEqual(len(gates), 1)
        gates[0].callback(Answer(200, body(NOON), 35.0))
        self.world.pass_time(6)
        self.assertEqual([round(at) for at in self.fetcher.times()], [0, 40])

    def test_loops_continue_after_a_step_of_the_wall_clock(self) -> None:
        self.start(make_task(interval=10.0))
        self.world.pass_time(20.1)
        for step in (-3600, 7200):
            self.world.offset += step
            before = len(self.fetcher.asked)
            self.world.pass_time(20)
            self.assertGreaterEqual(len(self.fetcher.asked), before + 2)

    def test_an_unexpected_error_does_not_end_the_loop(self) -> None:
        self.start(make_task(interval=10.0), answer=lambda task: fail(ZeroDivisionError()))
        self.world.pass_time(25)
        self.assertEqual(len(self.fetcher.asked), 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.assertEqual(self.state().pings, 0)

    def test_a_failed_commit_does_not_end_the_loop(self) -> None:
        self.start(make_task(interval=10.0))

        async def commit(*_: object) -> None:
            raise OSError("disk full")

        self.store.commit = commit  # type: ignore[method-assign]
        self.world.pass_time(25)
        self.assertEqual(len(self.fetcher.asked), 3)
        self.flushLoggedErrors(OSError)

    def test_concurrency(self) -> None:
        gates: dict[str, Deferred[Observation]] = {}

        def answer(task: Task) -> Deferred[Observation]:
            gates[task.name] = Deferred()
            return gates[task.name]

        self.start(*(make_task(str(n)) for n in range(6)), answer=answer, concurrency=2)
        self.world.pass_time(20)
        self.assertEqual(sorted(gates), ["0", "1"])
        gates["0"].callback(Answer(200, body(NOON), 1.0))
        self.assertEqual(sorted(gates), ["0", "1", "2"])

    def test_debug_now(self) -> None:
        self.build(make_task(), log_judged=True)
        self.monitor.start()
        self.world.pass_time(1)
        self.assertEqual(self.state().pings, 1)


class SameAnswerTests(MonitorCase):
    def test_it_is_judged_at_every_check(self) -> None:
        answer = Answer(200, body(NOON), 0.1)
        self.start(make_task(interval=60.0, grace=0.0), answer=lambda task: answer)
        self.world.pass_time(290)
        verdict = self.state().verdict
        assert verdict is not None
        self.assertEqual((self.state().pings, verdict.kind), (5, Kind.OK))
        self.assertIn("due 12:10:00 UTC", verdict.explanation)
        self.world.pass_time(311)
        self.assertIs(self.state().kind, Kind.LATE)

    def test_the_same_body_with_another_code(self) -> None:
        answer = Answer(200, body(NOON), 0.1)
        self.start(make_task(interval=10.0), answer=lambda task: answer)
        self.world.pass_time(11)
        self.fetcher.answer = lambda task: Answer(500, answer.body, 0.1)
        self.world.pass_time(10)
        self.assertIs(self.state().kind, Kind.FAILED)

    def test_after_no_answer(self) -> None:
        answer = Answer(200, body(NOON), 0.1)
        self.start(make_task(interval=10.0), answer=lambda task: answer)
        self.world.pass_time(1)
        self.fetcher.answer = lambda task: NoAnswer(Fault.BROKEN, "broken", 0.1)
        self.world.pass_time(10)
        self.assertIs(self.state().kind, Kind.UNREACHABLE)
        self.fetcher.answer = lambda task: answer
        self.world.pass_time(10)
        self.assertIs(self.state().kind, Kind.OK)

    def test_after_a_commit_that_failed(self) -> None:
        """The next check does not rest on the verdict that was not stored."""
        first, second = Answer(200, body(NOON), 0.1), Answer(200, body(NOON - 300), 0.1)
        self.start(make_task(interval=10.0), answer=lambda task: first)
        self.world.pass_time(1)
        self.fetcher.answer = lambda task: second
        broken = self.patch(self.store, "note", None)
        self.world.pass_time(10)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        broken.restore()
        self.world.pass_time(10)
        verdict = self.state().verdict
        assert verdict is not None
        self.assertIn(" 11:55:00 UTC, runs every 10 min, due 12:05:00 UTC", verdict.explanation)


class DeadlineTests(MonitorCase):
    def test_lateness_is_known_when_it_begins(self) -> None:
        # Due 10 min after the last run, which was 5 min ago; late a minute later.
        self.start(make_task(interval=3600.0, grace=60.0), answer=self.ran_at(NOON - 300))
        self.world.pass_time(359)
        self.assertEqual(self.state().kind, Kind.OK)
        self.world.pass_time(2)
        self.assertEqual(self.state().kind, Kind.LATE)
        self.assertEqual(self.notifier.events(), ["problem"])
        self.assertEqual(len(self.fetcher.asked), 2)

    def test_lateness_is_known_after_a_step_of_the_wall_clock(self) -> None:
        self.start(make_task(interval=86_400.0, grace=60.0), answer=self.ran_at(NOON - 300))
        self.world.pass_time(10)
        self.world.offset += 340
        self.world.pass_time(9)
        self.assertEqual(self.state().kind, Kind.OK)
        self.world.pass_time(3)
        self.assertEqual(self.state().kind, Kind.LATE)

    def test_sleep_begins_and_ends_on_time(self) -> None:
        asleep = ', "sleep": [{"start": "12:05", "duration": 10}]'
        self.start(make_task(interval=7200.0), answer=self.ran_at(NOON, frequency=60, extra=asleep))
        self.world.pass_time(299, step=0.5)
        self.assertEqual(self.state().status, Status.OK)
        self.world.pass_time(2)
        self.assertEqual(self.state().status, Status.SLEEPING)
        self.world.pass_time(598, step=0.5)
        self.assertEqual(self.state().status, Status.SLEEPING)
        self.world.pass_time(2)
        self.assertEqual(self.state().status, Status.OK)

    def test_a_report_cannot_cause_checks_without_pause(self) -> None:
        self.start(
            make_task(interval=60.0, grace=0.0),
            answer=lambda task: Answer(200, body(self.world.now(), frequency=0.001), 0.0),
        )
        self.world.pass_time(119, step=0.01)
        self.assertLessEqual(len(self.fetcher.asked), 2 + 2 * 6)

    def test_a_blind_check_is_not_repeated_at_once(self) -> None:
        self.start(make_task(interval=60.0, grace=0.0), answer=self.ran_at(NOON - 599))
        self.world.pass_time(0.5)
        self.fetcher.answer = lambda task: NoAnswer(Fault.OWN, "too many open files", 0.0)
        self.world.pass_time(100)
        self.assertLess(len(self.fetcher.asked), 5)


class AlertTests(MonitorCase):
    def test_an_incident_from_problem_to_recovery(self) -> None:
        self.start(make_task(interval=10.0, error_interval=25.0))
        self.world.pass_time(5)
        self.fetcher.answer = lambda task: NoAnswer(Fault.REFUSED, "connection refused by host:80", 0.0)
        self.world.pass_time(12)
        self.fetcher.answer = self.ran_at(NOON, status="error", extra=', "reason": "boom"')
        self.world.pass_time(20)
        self.fetcher.answer = lambda task: Answer(200, body(self.world.now()), 0.1)
        self.world.pass_time(10)
        self.assertEqual(self.notifier.events(), ["problem", "changed", "reminder", "recovered"])
        self.assertIn("connection refused", self.notifier.sent[0].explanation)
        self.assertIn("boom", self.notifier.sent[1].explanation)
        self.assertEqual(len({alert.id for alert in self.notifier.sent}), 4)

    def test_reminders_do_not_wait_for_checks(self) -> None:
        self.start(
            make_task(interval=3600.0, error_interval=480.0),
            answer=lambda task: NoAnswer(Fault.REFUSED, "connection refused", 0.0),
        )
        self.world.pass_time(1500, step=0.5)
        self.assertEqual(self.notifier.events(), ["problem", "reminder", "reminder"])
        for alert, expected in zip(self.notifier.sent, (0, 480, 1440), strict=True):
            self.assertApproximates(alert.at - NOON, expected, 2.0)
        self.assertEqual(len(self.fetcher.asked), 1)
        self.assertEqual(self.state().pings, 1)

    def test_a_reminder_right_before_sleep(self) -> None:
        self.start(
            make_task(interval=3600.0, error_interval=570.0),
            answer=self.ran_at(NOON, status="error", extra=', "sleep": [{"start": "12:10", "duration": 60}]'),
        )
        self.world.pass_time(599, step=0.5)
        self.assertEqual(self.notifier.events(), ["problem", "reminder"])

    def test_nothing_is_shown_or_sent_before_it_is_committed(self) -> None:
        self.start(make_task(interval=10.0))
        self.world.pass_time(5)
        self.store.slow = True
        self.fetcher.answer = lambda task: NoAnswer(Fault.REFUSED, "connection refused", 0.0)
        self.world.pass_time(30)
        self.assertEqual((self.state().kind, self.notifier.sent), (Kind.OK, []))
        self.assertEqual(len(self.store.waiting), 1)
        self.store.waiting[0].callback(None)
        self.assertEqual((self.state().kind, self.notifier.events()), (Kind.UNREACHABLE, ["problem"]))

    def test_secrets_in_an_answer_are_masked(self) -> None:
        self.start(
            make_task(),
            answer=self.ran_at(NOON, status="error", extra=', "reason": "got hunter22", "server": "hunter22"'),
        )
        self.world.pass_time(1)
        self.assertNotIn("hunter22", repr(self.state()) + repr(self.notifier.sent))
        self.assertIn("***", self.notifier.sent[0].explanation)

    def test_a_secret_learned_later_is_masked_in_the_same_answer(self) -> None:
        answer = Answer(200, body(NOON, extra=', "server": "s3cret-token"'), 0.1)
        self.start(make_task(interval=10.0), answer=lambda task: answer)
        self.world.pass_time(1)
        self.assertIn("s3cret-token", repr(self.state()))
        self.secrets.add("s3cret-token")
        self.world.pass_time(10)
        self.assertEqual(self.state().pings, 2)
        self.assertNotIn("s3cret-token", repr(self.state()))

    def test_every_run_is_reported_once(self) -> None:
        self.start(make_task(interval=10.0), answer=self.ran_at(NOON))
        self.world.pass_time(25)
        self.fetcher.answer = self.ran_at(NOON + 20)
        self.world.pass_time(20)
        self.assertEqual(self.observer.runs, [NOON, NOON + 20])

    def test_the_beginning_and_the_end_of_a_run_are_reported(self) -> None:
        begun = self.ran_at(NOON - 600, extra=f', "started": "{iso(NOON - 1)}"')
        self.start(make_task(interval=10.0), answer=begun)
        self.world.pass_time(25)
        self.fetcher.answer = self.ran_at(NOON + 20, extra=f', "started": "{iso(NOON - 1)}"')
        self.world.pass_time(20)
        self.assertEqual(self.observer.runs, [NOON - 600, NOON + 20])
        self.assertEqual(self.observer.begun, [NOON - 1, NOON - 1])

    def test_a_run_that_takes_too_long_is_late_at_once(self) -> None:
        """The deadline of the run counts, not that of the schedule, and is met although the interval is long."""
        extra = f', "schedule": "0 12 * * *", "max_runtime": 2, "started": "{iso(NOON)}"'
        self.start(make_task(interval=3600.0, grace=30.0), answer=self.ran_at(NOON - 86_400, extra=extra))
        self.world.pass_time(149)
        self.assertIs(self.state().kind, Kind.OK)
        self.world.pass_time(2)
        self.assertIs(self.state().kind, Kind.LATE)
        self.assertIn("longer than its 2 min", self.notifier.sent[0].explanation)

    def test_a_task_without_answer_is_checked_when_the_sleep_of_the_ini_file_ends(self) -> None:
        window = Window(int(NOON) % 86_400 - 60, 120.0)
        self.start(make_task(interval=3600.0, sleep=(window,)), answer=lambda task: NoAnswer(Fault.DNS, "x", 0.1))
        self.world.pass_time(59)
        self.assertEqual((self.state().kind, self.notifier.sent), (Kind.UNREACHABLE, []))
        self.world.pass_time(2)
        self.assertEqual(self.notifier.events(), ["problem"])


class ResumeTests(MonitorCase):
    def test_states_continue_after_a_restart(self) -> None:
        self.build(make_task(interval=10.0))
        self.fetcher.answer = lambda task: NoAnswer(Fault.REFUSED, "connection refused", 0.0)
        self.monitor.start()
        self.world.pass_time(5)
        state = self.state()
        self.build(make_task(interval=10.0))
        self.monitor.resume({"http://host/a": state, "http://gone/": TaskState()})
        self.assertEqual(self.state(), state)
        self.fetcher.answer = lambda task: NoAnswer(Fault.REFUSED, "connection refused", 0.0)
        self.monitor.start()
        self.world.pass_time(5)
        self.assertEqual(self.notifier.sent, [])
        self.assertEqual(self.state().pings, 2)

    def test_a_task_that_is_no_longer_configured_is_closed(self) -> None:
        self.build(make_task("a", interval=10.0))
        self.fetcher.answer = lambda task: NoAnswer(Fault.REFUSED, "connection refused", 0.0)
        self.monitor.start()
        self.world.pass_time(5)
        state = self.state()
        self.build(make_task("b"))
        self.monitor.resume({"http://host/a?token=x": state})
        self.assertEqual(self.notifier.events(), ["recovered"])
        self.assertNotIn("token", repr(self.notifier.sent))
        self.assertIsNone(self.store.open().states["http://host/a?token=x"].incident)

    def test_a_reminder_that_was_due_before_the_start_waits_for_the_first_check(self) -> None:
        """The incident may be over."""
        tasks = make_task("x"), make_task("a", interval=10.0, error_interval=5.0, error_interval_max=5.0)
        self.build(*tasks)
        self.fetcher.answer = lambda task: NoAnswer(Fault.REFUSED, "connection refused", 0.0)
        self.monitor.start()
        self.world.pass_time(8)
        state = self.state()
        for finding, told in ((NoAnswer(Fault.REFUSED, "connection refused", 0.0), "reminder"), (None, "recovered")):
            self.build(*tasks)
            well = Answer(200, body(NOON), 0.1)
            self.fetcher.answer = lambda task, ill=finding, well=well: ill if task.name == "a" and ill else well
            self.monitor.resume({"http://host/a": state})
            self.world.offset += 100
            self.monitor.start()
            self.world.pass_time(4)
            self.assertEqual(self.notifier.events(), [])
            self.world.pass_time(2)
            self.assertEqual(self.notifier.events(), [told])

    def test_a_reminder_is_due_before_the_first_check(self) -> None:
        tasks = make_task("x"), make_task("a", interval=10.0, error_interval=5.0, error_interval_max=5.0)
        self.build(*tasks)
        self.fetcher.answer = lambda task: NoAnswer(Fault.REFUSED, "connection refused", 0.0)
        self.monitor.start()
        self.world.pass_time(8)
        state = self.state()
        self.build(*tasks)
        self.monitor.resume({"http://host/a": state})
        self.world.offset += 8
        self.monitor.start()
        self.world.pass_time(3)
        self.assertEqual(self.notifier.events(), ["reminder"])

    def test_overdue_tasks_are_checked_at_their_offsets_after_a_start(self) -> None:
        """After an hour without Py Pinger every task is overdue; they are not checked all at once."""
        tasks = [make_task(str(number), interval=60.0) for number in range(5)]
        self.start(*tasks, answer=self.ran_at(NOON, frequency=1))
        self.world.pass_time(15)
        states = {task.url: self.state(task.name) for task in tasks}
        self.build(*tasks)
        self.world.offset += 3600
        self.fetcher.answer = self.ran_at(NOON + 3600)
        self.monitor.resume(states)
        self.monitor.start()
        self.world.pass_time(15)
        self.assertEqual(
            [[round(at) for at in self.fetcher.times(task.name)] for task in tasks], [[0], [2], [4], [6], [8]]
        )


class UpdateTests(MonitorCase):
    def test_unchanged_tasks_keep_their_schedule(self) -> None:
        gates: list[Deferred[Observation]] = []

        def answer(task: Task) -> Deferred[Observation]:
            gates.append(Deferred())
            return gates[-1]

        same, other = make_task("same", interval=30.0), make_task("other", interval=30.0)
        self.start(same, answer=answer)
        self.world.pass_time(1)
        self.monitor.update([other, same])
        self.world.pass_time(10)
        self.assertEqual(self.fetcher.times("same"), [0.0])
        gates[0].callback(Answer(200, body(NOON), 1.0))
        self.assertEqual(self.state("same").pings, 1)
        self.world.pass_time(25)
        self.assertEqual([round(at) for at in self.fetcher.times("same")], [0, 30])
        self.assertEqual([entry.task.name for entry in self.board.entries()], ["other", "same"])

    def test_a_new_task_begins(self) -> None:
        self.start(make_task("a", interval=10.0))
        self.world.pass_time(25)
        self.monitor.update([make_task("a", interval=10.0), make_task("b", interval=10.0)])
        self.assertFalse(self.board.daemon().ready)
        self.world.pass_time(15)
        self.assertEqual([round(at) for at in self.fetcher.times("b")], [25, 35])
        self.assertTrue(self.board.daemon().ready)

    def test_checks_that_a_shorter_interval_makes_overdue_are_spread(self) -> None:
        names = [str(number) for number in range(50)]
        self.start(*[make_task(name, interval=60.0) for name in names])
        self.world.pass_time(1)
        self.fetcher.asked.clear()
        self.monitor.update([make_task(name, interval=30.0) for name in names])
        self.world.pass_time(20)
        times = sorted(at for _, at in self.fetcher.asked)
        # Six have been checked in the first second.
        self.assertEqual(len(times), 44)
        self.assertLess(max(times.count(at) for at in times), 3)

    def test_a_removed_task_ends_with_one_message(self) -> None:
        self.start(
            make_task("a", interval=10.0, error_interval=15.0),
            make_task("b", interval=10.0),
            answer=lambda task: NoAnswer(Fault.REFUSED, "connection refused", 0.0),
        )
        self.world.pass_time(8)
        self.monitor.update([make_task("b", interval=10.0)])
        self.world.pass_time(60)
        mine = [alert for alert in self.notifier.sent if alert.name == "a"]
        self.assertEqual([alert.event.value for alert in mine], ["problem", "recovered"])
        self.assertIn("no longer monitored", mine[1].explanation)
        self.assertEqual([round(at) for at in self.fetcher.times("a")], [0])
        self.assertIsNone(self.board.by_id("a"))
        self.assertIsNone(self.store.open().states["http://host/a"].incident)

    def test_a_removed_task_without_incident_sends_nothing(self) -> None:
        self.start(make_task("a"), make_task("b"))
        self.world.pass_time(8)
        self.monitor.update([make_task("b")])
        self.assertEqual(self.notifier.sent, [])

    def test_the_check_under_way_of_a_removed_task_is_cancelled(self) -> None:
        cancelled: list[bool] = []
        self.start(make_task("a", interval=10.0))
        self.world.pass_time(5)
        self.fetcher.answer = lambda task: Deferred(lambda _: cancelled.append(True))
        self.world.pass_time(6)
        self.monitor.update([])
        self.assertEqual(cancelled, [True])
        self.assertEqual(self.board.entries(), ())
        self.world.pass_time(50)
        self.assertEqual(len(self.fetcher.asked), 2)

    def test_a_check_being_recorded_is_committed_before_its_task_is_closed(self) -> None:
        self.build(make_task("a", interval=10.0))
        self.store.slow = True
        self.fetcher.answer = lambda task: NoAnswer(Fault.REFUSED, "connection refused", 0.0)
        self.monitor.start()
        self.world.pass_time(1)
        self.monitor.update([])
        self.assertEqual(self.notifier.sent, [])
        self.store.waiting.pop(0).callback(None)
        self.store.waiting.pop(0).callback(None)
        self.assertEqual(self.notifier.events(), ["problem", "recovered"])
        self.assertEqual(self.board.entries(), ())

    def test_other_settings_and_the_same_state(self) -> None:
        self.start(make_task("a", interval=3600.0, grace=60.0), answer=self.ran_at(NOON - 630))
        self.world.pass_time(5)
        self.monitor.update([make_task("a", interval=20.0, grace=3600.0)])
        self.assertEqual(self.state().pings, 1)
        self.world.pass_time(50)
        self.assertEqual([round(at) for at in self.fetcher.times()], [0, 5, 25, 45])
        self.assertEqual(self.state().kind, Kind.OK)

    def test_other_rules_count_soon(self) -> None:
        """A reload that changes how a task is judged does not wait for its interval."""
        window = Window(int(NOON) % 86_400 - 3600, 7200.0)
        for rules, kind in [
            ({"grace": 3600.0}, Kind.OK),
            ({"frequency": 60.0}, Kind.OK),
            ({"schedule": "50 12 * * *"}, Kind.OK),
            ({"schedule": "50 12 * * *", "timezone": "Europe/Berlin"}, Kind.LATE),
            ({"schedule": "55 11 * * *", "max_runtime": 60.0}, Kind.OK),
            ({"sleep": (window,)}, Kind.SLEEPING),
        ]:
            self.start(make_task("a", interval=3600.0), answer=self.ran_at(NOON - 1000))
            self.world.pass_time(5)
            self.assertIs(self.state().kind, Kind.LATE)
            self.monitor.update([make_task("a", interval=3600.0, **rules)])
            self.world.pass_time(1)
            self.assertEqual([round(at) for at in self.fetcher.times()], [0, 5])
            self.assertIs(self.state().kind, kind, rules)

    def test_other_rules_of_many_tasks_are_spread(self) -> None:
        names = [str(number) for number in range(50)]
        self.start(*[make_task(name, interval=600.0) for name in names])
        self.world.pass_time(30)
        self.fetcher.asked.clear()
        self.monitor.update([make_task(name, interval=600.0, grace=5.0) for name in names])
        self.world.pass_time(11)
        times = sorted(at for _, at in self.fetcher.asked)
        self.assertEqual(len(times), 50)
        self.assertLess(max(times.count(at) for at in times), 3)

    def test_other_rules_during_a_check(self) -> None:
        """The check under way may have begun under the old ones, so another follows."""
        gate: Deferred[Observation] = Deferred()
        self.start(make_task("a", interval=3600.0), answer=lambda task: gate)
        self.world.pass_time(5)
        self.monitor.update([make_task("a", interval=3600.0, grace=3600.0)])
        self.fetcher.answer = self.ran_at(NOON - 1000)
        gate.callback(Answer(200, body(NOON - 1000), 5.0))
        self.world.pass_time(2)
        self.assertEqual([round(at) for at in self.fetcher.times()], [0, 6])
        self.assertIs(self.state().kind, Kind.OK)
        self.world.pass_time(60)
        self.assertEqual(len(self.fetcher.times()), 2)

    def test_other_settings_while_a_check_is_recorded(self) -> None:
        self.start(make_task(), answer=lambda task: Answer(500, b"", 0.1))
        self.store.slow = True
        self.world.pass_time(1)
        self.monitor.update([make_task(grace=7.0)])
        self.store.waiting.pop().callback(None)
        entry = self.board.by_id("a")
        assert entry is not None
        self.assertEqual((entry.task.grace, entry.state.pings), (7.0, 1))

    def test_another_grace_for_the_same_answer(self) -> None:
        answer = Answer(200, body(NOON - 590), 0.1)
        self.start(make_task(interval=10.0, grace=3600.0), answer=lambda task: answer)
        self.world.pass_time(25)
        self.assertIs(self.state().kind, Kind.OK)
        self.monitor.update([make_task(interval=10.0, grace=5.0)])
        self.world.pass_time(10)
        self.assertIs(self.state().kind, Kind.LATE)

    def test_another_grace_while_the_same_answer_is_recorded(self) -> None:
        answer = Answer(200, body(NOON - 590), 0.1)
        self.start(make_task(interval=10.0, grace=3600.0), answer=lambda task: answer)
        self.store.slow = True
        self.world.pass_time(1)
        self.monitor.update([make_task(interval=10.0, grace=5.0)])
        self.store.slow = False
        self.store.waiting.pop().callback(None)
        self.world.pass_time(25)
        self.assertIs(self.state().kind, Kind.LATE)

    def test_the_old_fetcher_is_free_when_its_last_check_ends(self) -> None:
        gate: Deferred[Observation] = Deferred()
        self.start(make_task("a", interval=10.0), answer=lambda task: gate)
        self.world.pass_time(1)
        fresh = FakeFetcher(self.world)
        free = self.monitor.reconfigure(CheckSettings(fresh, 1, Secrets()))
        self.assertNoResult(free)
        gate.callback(Answer(200, body(NOON), 0.1))
        self.successResultOf(free)
        self.world.pass_time(10)
        self.assertEqual(len(fresh.asked), 1)
        self.successResultOf(self.monitor.reconfigure(CheckSettings(fresh, 9, Secrets())))


class StoppingTests(MonitorCase):
    def test_checks_under_way_are_cancelled(self) -> None:
        cancelled: list[str] = []

        def answer(task: Task) -> Deferred[Observation]:
            return Deferred(lambda _: cancelled.append(task.name))

        self.start(*(make_task(str(n)) for n in range(3)), answer=answer, concurrency=2)
        self.world.pass_time(11)
        self.successResultOf(Deferred.fromCoroutine(self.monitor.stop()))
        self.assertEqual(sorted(cancelled), ["0", "1"])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_a_check_being_recorded_is_committed_first(self) -> None:
        self.build(make_task(interval=10.0))
        self.store.slow = True
        self.fetcher.answer = lambda task: NoAnswer(Fault.REFUSED, "connection refused", 0.0)
        self.monitor.start()
        self.world.pass_time(1)
        stopping = Deferred.fromCoroutine(self.monitor.stop())
        self.assertNoResult(stopping)
        self.store.waiting[0].callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.notifier.events(), ["problem"])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_before_the_first_check(self) -> None:
        self.start(make_task("a"), make_task("b"))
        self.successResultOf(Deferred.fromCoroutine(self.monitor.stop()))
        self.assertEqual(self.world.clock.getDelayedCalls(), [])


class StuckTests(MonitorCase):
    def test_checks_make_progress(self) -> None:
        self.start(make_task(interval=10.0))
        self.world.pass_time(500, step=1)
        self.assertIsNone(self.monitor.stuck())

    def test_no_tasks(self) -> None:
        self.start()
        self.world.pass_time(5000, step=100)
        self.assertIsNone(self.monitor.stuck())

    def test_no_check_completes(self) -> None:
        self.start(make_task(interval=10.0, timeout=5.0), answer=lambda task: Deferred())
        self.world.pass_time(25 + STUCK + 2, step=1)
        self.assertIn("none has been completed", self.monitor.stuck() or "")
        self.assertEqual(self.board.daemon().status, Status.ERROR)

    def test_one_check_hangs(self) -> None:
        good = make_task("good", interval=10.0)

        def answer(task: Task) -> Observation | Deferred[Observation]:
            return Answer(200, body(self.world.now()), 0.1) if task is good else Deferred()

        self.start(good, make_task("bad", timeout=5.0), answer=answer)
        self.world.pass_time(5 + 10 + STUCK, step=1)
        self.assertIn("bad", self.monitor.stuck() or "")

    def test_waiting_for_a_permit_is_not_stuck(self) -> None:
        # Each check ends within its timeout, but all together take their time.
        def answer(task: Task) -> Deferred[Observation]:
            slow: Deferred[Observation] = Deferred()
            self.world.clock.callLater(20, slow.callback, NoAnswer(Fault.TIMEOUT, "no answer within 20 s", 20.0))
            return slow

        self.start(*(make_task(str(number)) for number in range(20)), answer=answer, concurrency=1)
        for _ in range(300):
            self.world.pass_time(1, step=1)
            self.assertIsNone(self.monitor.stuck())


class PropertyTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=25)
    @given(
        frequency=st.integers(1, 30),
        grace=st.integers(0, 120),
        interval=st.sampled_from([30.0, 600.0, 3600.0]),
        start=st.integers(0, 1439),
        duration=st.integers(1, 90),
        ago=st.integers(0, 2000),
    )
    def test_the_page_is_never_more_than_a_second_behind_the_judge(
        self, frequency: int, grace: int, interval: float, start: int, duration: int, ago: int
    ) -> None:
        from pypinger.domain.judge import judge
        from pypinger.domain.report import read

        case = MonitorCase()
        task = make_task(interval=interval, grace=float(grace), error_interval=0.0)
        answer = Answer(
            200,
            f'{{"status": "ok", "lastrun": "{iso(NOON - ago)}", "frequency": {frequency}, "sleep": '
            f'[{{"start": "{start // 60:02}:{start % 60:02}", "duration": {duration}}}]}}'.encode(),
            0.0,
        )
        case.start(task, answer=lambda task: answer)
        behind: Counter[bool] = Counter()
        finding = read(answer)
        before = judge(finding, task, case.world.now()).kind
        for _ in range(3600):
            case.world.clock.advance(1.0)
            now = judge(finding, task, case.world.now()).kind
            behind[case.state().kind not in (now, before)] += 1
            before = now
        self.assertEqual(behind[True], 0)
