"""Pushes on a fake clock: what is kept, counted, limited and refused, and when such tasks are judged."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Event, Task, TaskState
from pypinger.domain.pushes import Action, Ping
from pypinger.ports.pushing import PushResult, Taken
from pypinger.runtime import pushes
from pypinger.runtime.pushes import AGAIN, PUSHES, Pushes
from tests.runtime.fakes import NOON, body, make_task
from tests.runtime.test_monitor import MonitorCase

SUCCESS, FAIL, START, LOG = (Ping(action) for action in (Action.SUCCESS, Action.FAIL, Action.START, Action.LOG))


def key_of(name: str) -> str:
    return f"{name}-{'k' * 16}"


def push_task(name: str = "p", **settings: object) -> Task:
    return Task(url=None, id=name, name=name, label="", push_key=key_of(name), **settings)  # type: ignore[arg-type]


class PushCase(MonitorCase):
    def serve(self, *tasks: Task, state: TaskState | None = None) -> None:
        self.build(*tasks)
        if state is not None:
            self.monitor.resume({tasks[0].key: state})
        self.take_pushes()

    def take_pushes(self) -> None:
        self.pushes = Pushes(self.world.clock, self.monitor, self.checker, self.secrets, 1000)
        self.pushes.update(self.tasks, 1000)
        self.monitor.start()
        self.pushes.start()

    def ping(self, ping: Ping = SUCCESS, name: str = "p") -> Deferred[PushResult]:
        return Deferred.fromCoroutine(self.pushes.ping(key_of(name), ping))

    def pinged(self, ping: Ping = SUCCESS, name: str = "p") -> PushResult:
        result: PushResult = self.successResultOf(self.ping(ping, name))
        return result

    def report(self, text: bytes, name: str = "p", *, whole: bool = True) -> PushResult:
        result: PushResult = self.successResultOf(
            Deferred.fromCoroutine(self.pushes.report(key_of(name), text, whole=whole))
        )
        return result

    def events(self) -> list[Event]:
        return [alert.event for alert in self.notifier.sent]


class TakingTests(PushCase):
    def test_a_ping_is_a_check(self) -> None:
        self.serve(push_task())
        self.world.pass_time(5)
        self.assertEqual(self.pinged(), PushResult(Taken.KEPT))
        state = self.state("p")
        self.assertEqual((state.kind, state.pings, state.errors, state.latency), (Kind.OK, 1, 0, None))
        self.assertEqual((state.checked, state.seen), (NOON + 5, NOON + 5))
        kept = self.store.open().states["push:p"]
        self.assertEqual(kept, state)

    def test_a_failure_is_alerted_and_ends(self) -> None:
        self.serve(push_task())
        self.pinged(Ping(Action.FAIL, body=b"disk full, said hunter22"))
        self.assertEqual(self.events(), [Event.PROBLEM])
        alert = self.notifier.sent[0]
        self.assertEqual((alert.reason, alert.label, alert.key), ("disk full, said ***", "", "p"))
        self.pinged()
        self.assertEqual(self.events(), [Event.PROBLEM, Event.RECOVERED])

    def test_a_report(self) -> None:
        self.serve(push_task())
        self.assertEqual(self.report(body(NOON, 30, extra=', "server": "db1"')), PushResult(Taken.KEPT))
        report = self.state("p").report
        assert report is not None
        self.assertEqual((report.lastrun, report.frequency, report.server), (NOON, 30, "db1"))

    def test_an_invalid_report_is_judged_and_answered(self) -> None:
        self.serve(push_task())
        self.pinged()
        result = self.report(b'{"status": "fine"}')
        self.assertEqual(result, PushResult(Taken.INVALID, 'status must be ok or error, not "fine"'))
        state = self.state("p")
        self.assertEqual((state.kind, state.pings, state.errors), (Kind.INVALID, 2, 1))
        self.assertIsNotNone(state.report)
        self.assertEqual(self.events(), [Event.PROBLEM])

    def test_a_report_that_is_too_long(self) -> None:
        self.serve(push_task())
        for text, whole in ((b" " * 1001, True), (b" " * 1000, False)):
            result = self.report(text, whole=whole)
            self.assertEqual(result.taken, Taken.INVALID)
            self.assertIn("longer than 1,000 bytes", result.words)
        self.assertEqual(self.report(body(NOON).ljust(1000)), PushResult(Taken.KEPT))

    def test_unknown_keys(self) -> None:
        self.serve(push_task(), make_task())
        for key in ("", "k" * 16, key_of("p")[:-1], key_of("p") + "k", "\N{SNOWMAN}" * 16):
            self.assertFalse(self.pushes.knows(key))
            for made in (self.pushes.ping(key, SUCCESS), self.pushes.report(key, b"{}", whole=True)):
                result: PushResult = self.successResultOf(Deferred.fromCoroutine(made))
                self.assertEqual(result.taken, Taken.UNKNOWN)

    def test_log_changes_nothing_but_what_was_seen(self) -> None:
        self.serve(push_task())
        self.pinged()
        before = self.state("p")
        self.world.pass_time(10)
        self.assertEqual(self.pinged(Ping(Action.LOG, body=b"half way")), PushResult(Taken.KEPT))
        after = self.state("p")
        self.assertEqual((after.pings, after.checked, after.report), (before.pings, before.checked, before.report))
        self.assertEqual(after.seen, NOON + 10)
        self.assertEqual(self.store.open().states["push:p"].seen, NOON + 10)
        answer = self.board.last_answer("p")
        assert answer is not None
        self.assertEqual((answer.body, answer.pushed), (b"half way", True))

    def test_the_rid_of_a_start_survives_a_restart(self) -> None:
        self.serve(push_task())
        rid = "0f0f0f0f-0000-4000-8000-000000000001"
        self.pinged(Ping(Action.START, rid))
        kept = self.store.open().states["push:p"]
        self.serve(push_task(), state=kept)
        self.pinged(Ping(Action.SUCCESS, rid[::-1]))
        report = self.state("p").report
        assert report is not None
        self.assertTrue(report.running)
        self.pinged(Ping(Action.SUCCESS, rid))
        report = self.state("p").report
        assert report is not None
        self.assertFalse(report.running)

    def test_runs_are_reported_to_observers(self) -> None:
        self.serve(push_task())
        self.pinged(START)
        self.world.pass_time(10)
        self.pinged()
        self.pinged(LOG)
        self.assertEqual(self.observer.runs, [None, NOON + 10])

    def test_unexpected_errors(self) -> None:
        """A bug in judging is logged, and the push is not answered as kept."""
        self.serve(push_task())

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        self.patch(self.outbox, "route", broken)
        self.assertEqual(self.pinged().taken, Taken.REFUSED)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class KeepingTests(PushCase):
    def test_answered_only_once_it_is_kept(self) -> None:
        self.serve(push_task())
        self.store.slow = True
        waiting = self.ping()
        self.assertNoResult(waiting)
        self.assertEqual(self.state("p").kind, Kind.NEW)
        self.store.waiting.pop().callback(None)
        self.assertEqual(self.successResultOf(waiting), PushResult(Taken.KEPT))
        self.assertEqual(self.state("p").kind, Kind.OK)

    def test_a_store_that_cannot_be_written(self) -> None:
        """The push counts, so that no false alarm follows, but its sender is asked to try again."""
        self.serve(push_task())

        async def commit(*_: object) -> bool:
            return False

        self.patch(self.store, "commit", commit)
        result = self.pinged()
        self.assertEqual((result.taken, result.retry_after), (Taken.REFUSED, AGAIN))
        self.assertEqual(self.state("p").kind, Kind.OK)

    def test_pushes_of_a_task_are_taken_in_turn(self) -> None:
        self.serve(push_task())
        self.store.slow = True
        results = [self.ping(FAIL), self.ping(), self.ping(FAIL)]
        for number, result in enumerate(results):
            self.assertEqual(len(self.store.waiting), 1)
            self.store.waiting.pop().callback(None)
            self.assertEqual(self.successResultOf(result), PushResult(Taken.KEPT))
            self.assertEqual(self.state("p").pings, number + 1)
        self.assertEqual(self.state("p").kind, Kind.FAILED)

    def test_while_a_task_leaves(self) -> None:
        """A push that waits for a task that a reload removes is not kept."""
        self.serve(push_task())
        self.store.slow = True
        first, second = self.ping(), self.ping()
        self.monitor.update([])
        self.store.waiting.pop().callback(None)
        self.assertEqual(self.successResultOf(first), PushResult(Taken.KEPT))
        self.assertEqual(self.successResultOf(second).taken, Taken.REFUSED)

    def test_stopping(self) -> None:
        self.serve(push_task())
        self.pushes.stop()
        result = self.pinged()
        self.assertEqual((result.taken, result.words), (Taken.REFUSED, "Py Pinger is stopping"))


class LimitTests(PushCase):
    def test_sixty_a_minute_and_task(self) -> None:
        self.serve(push_task(), push_task("q"))
        for _ in range(PUSHES):
            self.assertEqual(self.pinged().taken, Taken.KEPT)
        self.world.pass_time(10)
        result = self.pinged()
        self.assertEqual((result.taken, result.retry_after), (Taken.LIMITED, 50.0))
        self.assertEqual(self.report(body(NOON)).taken, Taken.LIMITED)
        self.assertEqual(self.pinged(name="q").taken, Taken.KEPT)
        for _ in range(3):
            self.assertEqual(self.pinged(FAIL).taken, Taken.KEPT)
        self.assertEqual(self.report(body(NOON, status="error")).taken, Taken.KEPT)
        self.assertEqual(self.state("p").pings, PUSHES + 4)
        self.world.pass_time(50.1)
        self.assertEqual(self.pinged().taken, Taken.KEPT)

    def test_a_reload_does_not_forget_them(self) -> None:
        self.serve(push_task())
        for _ in range(PUSHES):
            self.pinged()
        self.pushes.update(self.tasks, 1000)
        self.assertEqual(self.pinged().taken, Taken.LIMITED)

    def test_too_many_wait(self) -> None:
        self.patch(pushes, "WAITING", 3)
        self.patch(pushes, "WAITING_OF_ONE", 2)
        self.serve(push_task(), push_task("q"), push_task("r"))
        self.store.slow = True
        taken = [self.ping(FAIL), self.ping(FAIL)]
        result = self.pinged(FAIL)
        self.assertEqual((result.taken, result.words), (Taken.REFUSED, "too many pushes are waiting"))
        taken.append(self.ping(name="q"))
        self.assertEqual(self.pinged(name="r").taken, Taken.REFUSED)
        self.store.slow = False
        for gate in self.store.waiting:
            gate.callback(None)
        self.assertEqual([self.successResultOf(each).taken for each in taken], [Taken.KEPT] * 3)
        self.assertEqual(self.pinged(name="r").taken, Taken.KEPT)

    def test_overload(self) -> None:
        self.patch(pushes, "BURST", 5)
        self.patch(pushes, "RATE", 2)
        self.serve(push_task())
        self.assertEqual([self.pushes.overloaded() for _ in range(7)], [False] * 5 + [True] * 2)
        self.world.pass_time(1)
        self.assertEqual([self.pushes.overloaded() for _ in range(3)], [False] * 2 + [True])


class JudgingTests(PushCase):
    unmeasured = True

    def test_late_without_a_fetch(self) -> None:
        self.serve(push_task(frequency=30.0))
        self.pinged()
        self.world.pass_time(1859)
        self.assertEqual((self.state("p").kind, self.events()), (Kind.OK, []))
        self.world.pass_time(2)
        state = self.state("p")
        self.assertEqual((state.kind, state.pings, state.errors), (Kind.LATE, 1, 0))
        self.assertEqual((self.events(), self.fetcher.asked), ([Event.PROBLEM], []))
        self.assertEqual(self.store.open().states["push:p"].kind, Kind.LATE)

    def test_an_invalid_report_completes_its_row(self) -> None:
        """No check of a push task comes at its interval, so the row is counted on by itself."""
        for hold in (0.0, 60.0):
            self.serve(push_task(failures=3, unreachable_for=hold, interval=60.0))
            self.report(b"junk")
            self.world.pass_time(110, step=1.0)
            self.assertEqual(self.events(), [])
            self.world.pass_time(15, step=1.0)
            self.assertEqual((self.state("p").kind, self.events()), (Kind.INVALID, [Event.PROBLEM]))

    def test_reminders(self) -> None:
        self.serve(push_task())
        self.pinged(FAIL)
        self.world.pass_time(500, step=1.0)
        self.assertEqual(self.events(), [Event.PROBLEM, Event.REMINDER])

    def test_new_until_its_first_due_time(self) -> None:
        self.serve(push_task(frequency=10.0))
        self.world.pass_time(659)
        state = self.state("p")
        self.assertEqual((state.kind, state.checked, state.pings), (Kind.NEW, None, 0))
        self.world.pass_time(2)
        self.assertEqual((self.state("p").kind, self.events()), (Kind.LATE, [Event.PROBLEM]))
        self.pinged()
        self.assertEqual(self.events(), [Event.PROBLEM, Event.RECOVERED])
        self.assertIsNone(self.state("p").configured)

    def test_first_due_after_a_restart(self) -> None:
        """It is reckoned from when the task was configured, not from the latest start."""
        self.serve(push_task(frequency=10.0), state=TaskState(configured=NOON - 300))
        self.world.pass_time(359)
        self.assertEqual(self.state("p").kind, Kind.NEW)
        self.world.pass_time(2)
        self.assertEqual(self.state("p").kind, Kind.LATE)

    def test_nothing_is_expected_without_frequency(self) -> None:
        self.serve(push_task())
        self.world.pass_time(7200, step=10.0)
        self.assertEqual((self.state("p").kind, self.events()), (Kind.NEW, []))

    def test_a_log_is_no_report(self) -> None:
        self.serve(push_task(frequency=10.0))
        self.pinged(LOG)
        self.world.pass_time(700)
        self.assertEqual(self.state("p").kind, Kind.LATE)

    def test_a_task_that_went_late_while_we_were_down(self) -> None:
        self.serve(push_task())
        self.pinged()
        kept = self.store.open().states["push:p"]
        self.build(push_task())
        self.world.offset = NOON + 7200
        self.board._started = NOON + 7200
        self.monitor.resume({"push:p": kept})
        self.take_pushes()
        self.world.pass_time(59)
        self.assertEqual((self.state("p").kind, self.events()), (Kind.OK, []))
        self.world.pass_time(2)
        self.assertEqual((self.state("p").kind, self.events()), (Kind.LATE, [Event.PROBLEM]))

    def test_settings_that_changed_while_we_were_down(self) -> None:
        """They are applied at the start, as by a reload, and not only once the old verdict would change."""
        self.serve(push_task(frequency=1440.0))
        self.pinged()
        kept = self.store.open().states["push:p"]
        self.build(push_task(frequency=30.0))
        self.monitor.resume({"push:p": kept})
        self.take_pushes()
        verdict = self.state("p").verdict
        assert verdict is not None
        self.assertEqual(verdict.due, NOON + 1800)
        self.world.pass_time(1862)
        self.assertEqual((self.state("p").kind, self.events()), (Kind.LATE, [Event.PROBLEM]))

    def test_a_start_does_not_count_a_failure_again(self) -> None:
        self.serve(push_task(failures=2))
        self.pinged(FAIL)
        kept = self.store.open().states["push:p"]
        self.build(push_task(failures=2))
        self.monitor.resume({"push:p": kept})
        self.take_pushes()
        self.assertEqual((self.state("p").row, self.state("p").incident), (1, None))

    def test_a_step_of_the_clock(self) -> None:
        self.serve(push_task(frequency=60.0))
        self.pinged()
        self.world.offset += 3600
        self.world.pass_time(70)
        self.assertEqual(self.state("p").kind, Kind.LATE)


class UptimeTests(PushCase):
    def seen(self, now: float) -> float:
        """Seconds for which the task is known to have been up or down."""
        self.store.open()  # What is noted is written then.
        days: Any = self.successResultOf(Deferred.fromCoroutine(self.store.days("push:p", now)))
        return sum(day.up + day.down for day in days)

    def test_time_is_accounted_for_between_pushes(self) -> None:
        self.serve(push_task(frequency=1440.0))
        self.pinged()
        before = self.state("p")
        self.world.pass_time(3000, step=10.0)
        self.assertGreaterEqual(self.seen(NOON + 3000), 2930)
        self.assertEqual(self.state("p"), before)

    def test_but_not_while_blind(self) -> None:
        self.serve(push_task(frequency=1440.0))
        self.pinged()
        self.patch(self.checker.condition, "_blind", NOON)
        self.world.pass_time(3000, step=10.0)
        self.assertEqual(self.seen(NOON + 3000), 0)


class ReloadTests(PushCase):
    def test_other_settings_judge_anew(self) -> None:
        self.serve(push_task(frequency=60.0))
        self.pinged()
        self.world.pass_time(660)
        self.assertEqual(self.state("p").kind, Kind.OK)
        self.monitor.update([push_task(frequency=5.0)])
        self.assertEqual(self.state("p").kind, Kind.LATE)

    def test_another_key(self) -> None:
        self.serve(push_task())
        self.pinged()
        self.tasks = (Task(url=None, id="p", name="p", label="", push_key="n" * 16),)
        self.monitor.update(self.tasks)
        self.pushes.update(self.tasks, 1000)
        self.assertEqual(self.pinged().taken, Taken.UNKNOWN)
        result: Any = self.successResultOf(Deferred.fromCoroutine(self.pushes.ping("n" * 16, SUCCESS)))
        self.assertEqual((result.taken, self.state("p").pings), (Taken.KEPT, 2))

    def test_a_new_task_and_one_that_leaves(self) -> None:
        self.serve(push_task())
        self.pinged(FAIL)
        self.monitor.update([push_task("q", frequency=10.0)])
        self.assertEqual(self.events(), [Event.PROBLEM, Event.RECOVERED])
        self.world.pass_time(661)
        self.assertEqual(self.state("q").kind, Kind.LATE)

    def test_a_task_that_comes_back_is_configured_anew(self) -> None:
        self.serve(push_task(frequency=10.0))
        self.world.pass_time(600)
        self.monitor.update([])
        self.assertIsNone(self.store.open().states["push:p"].configured)
        self.monitor.update([push_task(frequency=10.0)])
        self.world.pass_time(600)
        self.assertEqual((self.state("p").kind, self.events()), (Kind.NEW, []))

    def test_one_that_left_while_we_were_down(self) -> None:
        self.build(push_task("q"))
        self.monitor.resume({"push:p": TaskState(configured=NOON)})
        self.assertIsNone(self.store.open().states["push:p"].configured)


class HealthTests(PushCase):
    def test_only_push_tasks(self) -> None:
        """Py Pinger is ready and healthy, and no task is "not seen"."""
        self.serve(push_task())
        self.assertTrue(self.board.daemon().ready)
        self.world.pass_time(3600, step=1.0)
        self.assertIsNone(self.monitor.stuck())
        daemon = self.board.daemon()
        self.assertEqual((daemon.status.value, daemon.lastrun), ("ok", NOON + 3600))
        entry = self.board.by_id("p")
        assert entry is not None
        self.assertIsNone(entry.unseen)

    def test_pushes_are_no_progress_of_checks(self) -> None:
        gate: Deferred[Any] = Deferred()
        self.build(make_task(), push_task())
        self.fetcher.answer = lambda task: gate
        self.take_pushes()
        self.assertFalse(self.board.daemon().ready)
        for _ in range(40):
            self.world.pass_time(10, step=1.0)
            self.pinged(FAIL)
        self.assertIn("stuck", self.monitor.stuck() or "")
        self.assertEqual(self.board.daemon().lastrun, NOON)
