"""Whose fault it is that nothing answers, whose clock is wrong, and what is not seen, on a fake clock and network."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Event, Task
from pypinger.domain.redaction import Secrets
from pypinger.ports.storing import Blind, HostSeen
from pypinger.runtime.fetches import CheckSettings
from tests.runtime.fakes import NOON, World
from tests.runtime.network import Life, Network, task_of
from tests.store.inline import InlineStore


class NetworkCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.network = Network(self.world)
        self.store = InlineStore(self.world.now)
        self.blind_times: list[tuple[float, float]] = []
        record = self.store.blind

        def blind(start: float, end: float) -> None:
            self.blind_times.append((start - NOON, end - NOON))
            record(start, end)

        self.store.blind = blind  # type: ignore[method-assign]

    def live(self, *tasks: Task, concurrency: int = 256) -> Life:
        """Start a process."""
        life = Life(self.world, self.network, self.store, tasks, concurrency=concurrency)
        self.addCleanup(life.stop)
        life.start()
        return life

    def hosts(self, count: int, **settings: object) -> list[Task]:
        return [task_of(f"h{number}.example", **settings) for number in range(count)]

    def cut(self, mode: str) -> None:
        self.network.everywhere = mode

    def mend(self) -> None:
        self.network.everywhere = None


class CutTests(NetworkCase):
    """The network is cut: nobody is blamed."""

    unmeasured = True

    def check_cut(self, mode: str, count: int, before: float, lasts: float) -> None:
        self.setUp()
        life = self.live(*self.hosts(count))
        life.run(before)
        pings = {entry.task.id: entry.state.pings for entry in life.board.entries()}
        verdicts = {entry.task.id: entry.state.verdict for entry in life.board.entries()}
        self.cut(mode)
        cut_at = self.world.clock.seconds()
        life.run(lasts)
        self.assertEqual(life.events(), ["blind"], (mode, count, before))
        self.assertIn(f"{count} tasks keep their last verdicts", life.notifier.sent[0].explanation)
        self.assertLess(life.notifier.sent[0].at - NOON - cut_at, 60 + 20 + 25 + 1)
        self.assertEqual(life.board.daemon().status, Status.ERROR)
        self.assertIn("blind: no host answers", life.board.daemon().explanation)
        for entry in life.board.entries():
            self.assertEqual((entry.state.pings, entry.state.errors), (pings[entry.task.id], 0))
            self.assertEqual(entry.state.verdict, verdicts[entry.task.id])
        self.mend()
        mended = self.world.clock.seconds()
        life.run(70)
        self.assertEqual(life.events(), ["blind", "sighted"], (mode, count, before))
        self.assertEqual({entry.state.errors for entry in life.board.entries()}, {0})
        self.assertTrue(all(entry.state.pings > pings[entry.task.id] for entry in life.board.entries()))
        self.assertEqual(len(self.blind_times), 1)
        self.assertLess(self.blind_times[0][0] - cut_at, 106)
        self.assertLess(abs(self.blind_times[0][1] - mended), 62)
        self.assertEqual(life.board.daemon().status, Status.OK)
        life.stop()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_after_a_long_time(self) -> None:
        for mode in ("silent", "unreachable"):
            for count in (2, 20, 100):
                self.check_cut(mode, count, 3601.35 if count < 100 else 601.35, 300)

    def test_in_the_first_round(self) -> None:
        """Half of the tasks have been checked once."""
        for mode in ("silent", "unreachable"):
            for count in (20, 100):
                self.setUp()
                life = self.live(*self.hosts(count))
                life.run(5.1)
                self.cut(mode)
                life.run(300)
                self.assertEqual(life.events()[:1], ["blind"], (mode, count))
                # A host that has never answered is no evidence, but is not blamed either while others are silent.
                self.assertEqual(life.counted(), Counter(["blind"]), (mode, count))
                self.mend()
                life.run(70)
                self.assertEqual(life.counted(), Counter(["blind", "sighted"]))
                self.assertEqual({entry.state.errors for entry in life.board.entries()}, {0})

    def test_a_start_during_a_cut(self) -> None:
        """The hosts that answered before the restart are remembered."""
        for mode in ("silent", "unreachable", "no route", "no name"):
            for count in (2, 20, 100):
                self.setUp()
                first = self.live(*self.hosts(count))
                first.run(200)
                first.stop()
                self.cut(mode)
                self.world.clock.advance(600)
                life = self.live(*self.hosts(count))
                life.run(300)
                self.assertEqual(life.events(), ["blind"], (mode, count))
                self.assertTrue(life.board.daemon().ready)
                self.mend()
                life.run(70)
                self.assertEqual(life.events(), ["blind", "sighted"], (mode, count))
                self.assertEqual({entry.state.errors for entry in life.board.entries()}, {0})

    def test_a_refusal_is_an_answer(self) -> None:
        for count in (2, 20, 100):
            self.setUp()
            life = self.live(*self.hosts(count))
            life.run(200)
            self.cut("refused")
            life.run(100)
            self.assertEqual(life.counted(), {"problem": count})
            self.assertIsNone(life.board.daemon().blind)

    def test_hundreds_of_tasks(self) -> None:
        """All checks under way are held, and the extra requests stay within their limit."""
        tasks = [task_of(f"h{number % 30}.example", str(number)) for number in range(600)]
        life = self.live(*tasks, concurrency=64)
        life.run(180)
        self.cut("silent")
        began, before = self.world.clock.seconds(), len(self.network.asked)
        life.run(100)
        self.assertEqual(life.events(), ["blind"])
        # 64 + 128 at once, each for 20 s.
        self.assertLess(len(self.network.asked) - before, (64 + 128) * (self.world.clock.seconds() - began) / 20 + 192)
        self.mend()
        life.run(120)
        self.assertEqual(life.events(), ["blind", "sighted"])

    def test_a_restart_while_blind(self) -> None:
        for end in ("stop", "kill"):
            self.setUp()
            first = self.live(*self.hosts(3))
            first.run(200)
            self.cut("silent")
            first.run(150)
            self.assertEqual(first.events(), ["blind"])
            getattr(first, end)()
            self.world.clock.advance(100)
            second = self.live(*self.hosts(3))
            since = second.board.daemon().blind
            assert since is not None
            self.assertLess(since - NOON, 310)
            second.run(120)
            self.assertEqual(second.events(), [])
            self.mend()
            second.run(61)
            self.assertEqual(second.events(), ["sighted"])
            third = self.live(*self.hosts(3))
            third.run(60)
            self.assertIsNone(third.board.daemon().blind)
            self.assertEqual(third.events(), [])
            # All of the time from the first alert to the first answer is stored as blind.
            spans = sorted(self.blind_times)
            covered = spans[0][1]
            for start, stop in spans:
                self.assertLessEqual(start, covered + 0.001)
                covered = max(covered, stop)
            self.assertLess(abs(spans[0][0] - (since - NOON)), 0.001)


class FaultTests(NetworkCase):
    """One host of several, or the only one."""

    def test_a_silent_host_among_others_is_blamed(self) -> None:
        for mode, knows in (("silent", 20.0), ("unreachable", 0.0), ("no name", 0.0), ("no route", 0.0)):
            self.setUp()
            life = self.live(*self.hosts(5))
            life.run(125)
            self.network.modes["h1.example"] = mode
            before = len(self.network.asked)
            life.run(80)
            self.assertEqual(life.events(), ["problem"], mode)
            alert = life.notifier.sent[0]
            self.assertEqual(alert.name, "h1.example")
            # Its check begins at 182 s and fails; then all others are asked at once, and the first of them answers. If
            # the task stays silent, it has two more seconds.
            self.assertApproximates(alert.at - NOON, 182 + knows + (2 if mode == "silent" else 0), 0.1)
            asked_then = {name for name, at in self.network.asked[before:] if abs(at - 182 - knows) < 0.5}
            self.assertEqual(asked_then, {f"h{number}.example" for number in range(5)}, mode)
            life.stop()

    def test_a_cut_that_ends_before_it_is_known(self) -> None:
        """The first answer comes from another host while the second request of the silent task still hangs."""
        for lasts in range(20, 44, 2):
            self.setUp()
            life = self.live(*self.hosts(20))
            life.run(125)
            self.network.everywhere = "silent"
            life.run(lasts)
            self.network.everywhere = None
            life.run(120)
            self.assertNotIn("problem", life.events(), lasts)
            life.stop()

    def test_no_questions_are_asked_about_a_blamed_host(self) -> None:
        life = self.live(*self.hosts(5))
        life.run(125)
        self.network.modes["h1.example"] = "silent"
        life.run(100)
        before = len(self.network.asked)
        life.run(600)
        self.assertEqual(len(self.network.asked) - before, 50)

    def test_the_second_answer_is_judged(self) -> None:
        life = self.live(*self.hosts(3))
        life.run(130)
        self.cut("silent")
        life.run(69)
        pings = life.state("h0.example").pings
        # The check of h0 began at 180 and fails at 200.
        self.mend()
        self.network.modes["h1.example"] = self.network.modes["h2.example"] = "slow"
        life.run(3)
        self.assertEqual(life.state("h0.example").pings, pings + 1)
        self.assertIs(life.state("h0.example").kind, Kind.OK)
        self.assertEqual(life.events(), [])

    def test_a_slow_host_has_answered(self) -> None:
        """A connection was made, so the time-out is the task's fault."""
        life = self.live(*self.hosts(3, timeout=2.0))
        life.run(125)
        self.cut("slow")
        life.run(60)
        self.assertIsNone(life.board.daemon().blind)

    def test_the_only_host_is_blamed_once_it_was_asked_again(self) -> None:
        life = self.live(*self.hosts(1))
        life.run(125)
        self.cut("silent")
        life.run(60 + 20 + 20)
        self.assertEqual(life.events(), ["problem"])
        self.assertEqual([round(at) for at in self.network.times("h0.example")], [0, 60, 120, 180, 200])

    def test_two_ports_of_one_host(self) -> None:
        life = self.live(task_of("h.example", port=81), task_of("h.example", port=82))
        life.run(125)
        self.cut("silent")
        life.run(120)
        self.assertEqual(life.counted(), {"problem": 2})

    def test_names_of_one_address(self) -> None:
        self.network.addresses = {"a.example": "10.0.0.1", "b.example": "10.0.0.1"}
        life = self.live(task_of("a.example"), task_of("b.example"))
        life.run(125)
        self.cut("silent")
        life.run(120)
        self.assertEqual(life.counted(), {"problem": 2})

    def test_a_blamed_host_is_no_evidence(self) -> None:
        life = self.live(*self.hosts(2))
        life.run(125)
        self.network.modes["h0.example"] = "silent"
        life.run(120)
        self.assertEqual(life.events(), ["problem"])
        self.cut("silent")
        life.run(120)
        self.assertEqual(life.events(), ["problem", "problem"])
        self.assertIsNone(life.board.daemon().blind)

    def test_hosts_that_never_answered_are_no_evidence(self) -> None:
        self.cut("silent")
        life = self.live(*self.hosts(3))
        life.run(120)
        self.assertEqual(life.counted(), {"problem": 3})

    def test_a_host_that_is_silent_when_the_others_answer_again_is_blamed(self) -> None:
        life = self.live(*self.hosts(3))
        life.run(125)
        self.cut("silent")
        life.run(200)
        self.mend()
        self.network.modes["h2.example"] = "silent"
        life.run(150)
        self.assertEqual(life.events(), ["blind", "sighted", "problem"])
        self.assertEqual(life.notifier.sent[-1].name, "h2.example")

    def test_a_host_that_redirects_has_answered(self) -> None:
        life = self.live(task_of("a.example", "1"), task_of("a.example", "2"))
        self.network.redirects = {"a.example:80/1": "b1.example", "a.example:80/2": "b2.example"}
        life.run(130)
        self.network.modes = {"b1.example": "silent", "b2.example": "silent"}
        life.run(300)
        self.assertEqual(life.counted(), {"problem": 2})

    def test_asked_beside_concurrency(self) -> None:
        life = self.live(*self.hosts(3), *[task_of("slow.example", str(n)) for n in range(8)], concurrency=1)
        self.network.modes["slow.example"] = "slow"
        life.run(200)
        self.network.modes["h0.example"] = "unreachable"
        life.run(120)
        self.assertEqual(life.events(), ["problem"])

    def test_silent_hosts_share_a_quarter_of_the_permits(self) -> None:
        for mode in ("silent", "mute"):
            self.setUp()
            dead = [task_of("dead.example", str(n), interval=20.0) for n in range(50)]
            life = self.live(*dead, *self.hosts(5, interval=20.0), concurrency=8)
            self.network.modes["dead.example"] = mode
            life.run(600)
            before = len(self.network.asked)
            life.run(100)
            counts = Counter(name.partition(":")[0] for name, _ in self.network.asked[before:])
            self.assertLessEqual(counts["dead.example"], 2 * 100 / 20 + 2, mode)
            self.assertEqual({counts[f"h{number}.example"] for number in range(5)}, {5}, mode)

    def test_one_silent_task_of_a_host_does_not_hold_up_the_others(self) -> None:
        dead = [task_of("dead.example", str(n), interval=20.0) for n in range(50)]
        shared = [task_of("shared.example", str(n), interval=20.0) for n in range(6)]
        life = self.live(*dead, *shared, concurrency=16)
        self.network.modes = {"dead.example": "mute", shared[0].name: "mute"}
        life.run(600)
        before = len(self.network.asked)
        life.run(100)
        counts = Counter(name for name, _ in self.network.asked[before:])
        self.assertEqual({counts[task.name] for task in shared[1:]}, {5})


class OwnFaultTests(NetworkCase):
    def test_an_error_number_of_our_own(self) -> None:
        life = self.live(*self.hosts(3))
        life.run(125)
        self.network.modes["h1.example"] = "own"
        life.run(59)
        self.assertEqual(life.events(), ["blind"])
        self.assertIn("all file descriptors are in use", life.notifier.sent[0].explanation)

    def test_it_is_over_with_an_answer_after_ten_seconds_without_one(self) -> None:
        """When every other check finds a descriptor, that is one blindness."""
        life = self.live(*self.hosts(4, interval=4.0))
        life.run(20)
        self.network.modes["h1.example"] = "own"
        life.run(60)
        self.assertEqual(life.events(), ["blind"])
        self.assertEqual(life.state("h1.example").pings, 5)
        self.assertGreater(life.state("h2.example").pings, 15)
        self.network.modes.clear()
        life.run(6)
        self.assertEqual(life.events(), ["blind"])
        life.run(9)
        self.assertEqual(life.events(), ["blind", "sighted"])

    def test_it_ends_a_question(self) -> None:
        life = self.live(*self.hosts(3))
        life.run(125)
        self.network.modes.update({"h0.example": "unreachable", "h1.example": "silent", "h2.example": "silent"})
        life.run(56)
        self.network.modes["h1.example"] = "own"
        life.run(60)
        self.assertEqual(life.events()[:1], ["blind"])
        self.assertEqual(life.state("h0.example").errors, 0)

    def test_no_route_with_nobody_else(self) -> None:
        life = self.live(*self.hosts(1))
        life.run(125)
        self.cut("no route")
        life.run(100)
        self.assertEqual(life.events(), ["blind"])
        self.mend()
        life.run(60)
        self.assertEqual(life.events(), ["blind", "sighted"])

    def test_a_resolver_that_fails_for_all_names(self) -> None:
        life = self.live(*self.hosts(3), task_of("10.0.0.1"))
        life.run(125)
        for task in life.tasks[:3]:
            self.network.modes[task.name] = "no name"
        life.run(120)
        self.assertEqual(life.events(), ["blind"])
        self.assertIn("no host name can be resolved", life.notifier.sent[0].explanation)
        # The address is checked as always, and shows nothing about the resolver.
        self.assertGreaterEqual(life.state("10.0.0.1").pings, 4)
        self.network.modes.clear()
        life.run(61)
        self.assertEqual(life.events(), ["blind", "sighted"])

    def test_a_resolver_that_fails_for_one_name(self) -> None:
        life = self.live(*self.hosts(3), task_of("10.0.0.1"))
        life.run(125)
        self.network.modes["h0.example"] = "no name"
        life.run(100)
        self.assertEqual(life.events(), ["problem"])

    def test_the_only_name_among_addresses(self) -> None:
        """It is blamed at once: no other name could show that the resolver works."""
        life = self.live(*self.hosts(1), task_of("10.0.0.1"), task_of("10.0.0.2"))
        life.run(125)
        self.network.modes["h0.example"] = "no name"
        life.run(56)
        self.assertEqual(life.events(), ["problem"])

    def test_a_resolver_that_fails_for_names_of_one_address(self) -> None:
        self.network.addresses = {f"h{number}.example": "10.0.0.1" for number in range(5)}
        life = self.live(*self.hosts(5))
        life.run(300)
        self.cut("no name")
        life.run(200)
        self.assertEqual(life.events(), ["blind"])
        self.mend()
        life.run(61)
        self.assertEqual(life.events(), ["blind", "sighted"])

    def test_names_that_are_gone_are_blamed(self) -> None:
        self.network.addresses = {f"{name}.example": "10.0.0.1" for name in "abc"}
        for others in ("ok", "slow"):
            life = self.live(*[task_of(f"{name}.example") for name in "abcz"])
            self.network.modes = {"b.example": others, "c.example": others}
            life.run(130)
            self.network.modes.update({"a.example": "no name", "z.example": "no name"})
            life.run(400)
            self.assertEqual(life.counted(), {"problem": 2}, others)
            life.stop()
            self.setUp()

    def test_kept_connections_show_nothing_about_the_resolver(self) -> None:
        life = self.live(*self.hosts(6), task_of("10.0.0.1"))
        life.run(130)
        self.network.modes = {f"h{number}.example": "no name" if number < 2 else "kept" for number in range(6)}
        life.run(300)
        self.assertEqual(life.events(), ["blind"])
        self.network.modes["h0.example"] = "ok"
        life.run(61)
        self.assertEqual(life.counted(), {"blind": 1, "sighted": 1, "problem": 1})

    def test_look_ups_that_hang(self) -> None:
        life = self.live(*self.hosts(4), task_of("10.0.0.9"))
        life.run(130)
        for number in range(4):
            self.network.modes[f"h{number}.example"] = "look-ups hang"
        life.run(200)
        self.assertEqual(life.events(), ["blind"])
        self.assertIn("no host name can be resolved", life.notifier.sent[0].explanation)

    def test_a_name_and_an_address_in_a_cut(self) -> None:
        life = self.live(task_of("a.example"), task_of("10.0.0.9"))
        life.run(130)
        self.network.modes = {"a.example": "no name", "10.0.0.9": "silent"}
        life.run(200)
        self.assertEqual(life.events(), ["blind"])

    def test_no_route_to_one_host_of_several(self) -> None:
        life = self.live(*self.hosts(5))
        life.run(130)
        self.network.modes["h1.example"] = "no route"
        life.run(400)
        self.assertEqual(life.events(), ["problem"])


class TimeoutTests(NetworkCase):
    """Tasks have different time limits."""

    def test_a_slow_host_is_not_silent_within_the_limit_of_another(self) -> None:
        life = self.live(task_of("a.example", timeout=1.0), task_of("b.example"))
        life.run(130)
        self.network.modes = {"a.example": "silent", "b.example": "slow"}
        life.run(400)
        self.assertEqual(life.events(), ["problem"])
        self.assertEqual(life.notifier.sent[0].name, "a.example")

    def test_a_cut(self) -> None:
        life = self.live(task_of("a.example", timeout=1.0), *self.hosts(2))
        life.run(130)
        self.cut("silent")
        life.run(300)
        self.assertEqual(life.events(), ["blind"])


class WhileBlindTests(NetworkCase):
    unmeasured = True

    def test_answers_are_judged_and_reminders_wait(self) -> None:
        """Half of the checks find a descriptor."""
        tasks = [*self.hosts(2, interval=5.0, error_interval=60.0), task_of("own.example", interval=5.0)]
        life = self.live(*tasks)
        self.network.status = "error"
        life.run(30)
        self.assertEqual(life.counted(), {"problem": 3})
        self.network.modes["own.example"] = "own"
        life.run(300)
        self.assertEqual(life.counted(), {"problem": 3, "blind": 1})
        self.network.status = "ok"
        life.run(10)
        self.assertEqual(life.counted(), {"problem": 3, "blind": 1, "recovered": 2})

    def test_reminders_come_after_it(self) -> None:
        life = self.live(*self.hosts(2, error_interval=300.0))
        self.network.status = "error"
        life.run(100)
        self.cut("silent")
        life.run(600)
        self.assertEqual(life.counted(), {"problem": 2, "blind": 2})
        self.mend()
        life.run(65)
        self.assertEqual(life.counted(), {"problem": 2, "blind": 2, "sighted": 1, "reminder": 2})

    def blind_alerts(self, life: Life) -> list[float]:
        return [alert.at - NOON for alert in life.notifier.sent if alert.event is Event.BLIND]

    def test_it_is_reminded_of_as_often_as_an_incident(self) -> None:
        life = self.live(*self.hosts(2))
        life.run(100)
        self.cut("silent")
        life.run(4000)
        first, *rest = self.blind_alerts(life)
        self.assertEqual([round(at - first) for at in rest], [480, 1440, 3360])
        self.assertIn("this has lasted 8 min, since", life.notifier.sent[1].explanation)
        self.assertIn("; 2 tasks keep their last verdicts", life.notifier.sent[1].explanation)
        life.stop()
        second = self.live(*self.hosts(2))
        second.run(4000)
        self.assertEqual([round(at - first) for at in self.blind_alerts(second)], [7200])
        self.mend()
        second.run(9000)
        self.assertEqual(second.events(), ["blind", "sighted"])
        self.assertIn("; 2 tasks kept their last verdicts", second.notifier.sent[1].explanation)

    def test_a_reload_changes_how_often_it_is_reminded_of(self) -> None:
        life = self.live(*self.hosts(2))
        life.run(100)
        self.cut("silent")
        life.run(300)
        life.monitor.reconfigure(CheckSettings(self.network, 256, Secrets(), error_interval=0))
        life.run(4000)
        self.assertEqual(life.events(), ["blind"])
        life.monitor.reconfigure(
            CheckSettings(self.network, 256, Secrets(), error_interval=900, error_interval_max=900)
        )
        life.run(1800)
        self.assertEqual(life.events(), ["blind"] * 3)

    def test_lateness_after_it_is_told_when_it_begins(self) -> None:
        tasks = self.hosts(3, interval=600.0, grace=60.0)
        life = self.live(*tasks)
        # Due at 1,790 s, late from 1,850 s on. The loop's checks come at 0, 600, 1,200 and 1,800 s.
        self.network.lastrun = lambda task: min(NOON + 1190, self.world.now())
        life.run(1700)
        self.cut("unreachable")
        life.run(130)
        self.assertEqual(life.events(), ["blind"])
        self.mend()
        self.world.clock.advance(0)
        life.run(800)
        late = [alert.at - NOON for alert in life.notifier.sent if alert.event is Event.PROBLEM]
        self.assertEqual(len(late), 3)
        for at in late:
            self.assertApproximates(at, 1850, 1.1)

    def test_overdue_checks_are_made_at_once_when_it_is_over(self) -> None:
        tasks = self.hosts(3, interval=600.0, grace=60.0)
        life = self.live(*tasks, task_of("often.example", interval=30.0))
        self.network.lastrun = lambda task: (
            min(NOON + 1190, self.world.now()) if task.interval > 100 else self.world.now()
        )
        life.run(1790)
        self.cut("unreachable")
        life.run(200)
        self.assertEqual(life.events(), ["blind"])
        self.mend()
        life.run(31)
        self.assertEqual(life.counted(), {"blind": 1, "sighted": 1, "problem": 3})

    def test_a_check_at_next_change_is_not_repeated_without_pause(self) -> None:
        life = self.live(*self.hosts(2, grace=0.0))
        self.network.lastrun = lambda task: NOON - 400
        life.run(150)
        self.cut("unreachable")
        before = len(self.network.asked)
        life.run(600)
        self.assertLess(len(self.network.asked) - before, 2 * (10 + 6))

    def test_a_stop_drops_what_is_held(self) -> None:
        life = self.live(*self.hosts(3))
        life.run(130)
        self.cut("silent")
        life.run(80)
        life.stop()
        self.assertEqual(life.events(), [])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_a_removed_task_is_not_held(self) -> None:
        life = self.live(*self.hosts(3))
        life.run(130)
        self.cut("silent")
        life.run(72)
        life.monitor.update(life.tasks[1:])
        life.run(100)
        self.assertEqual(life.events(), ["blind"])
        self.mend()
        life.run(60)
        self.assertEqual(len(life.board.entries()), 2)


class MemoryTests(NetworkCase):
    def test_hosts_are_stored_with_their_addresses(self) -> None:
        life = self.live(*self.hosts(2))
        life.run(125)
        life.stop()
        kept = self.store.open()
        self.assertEqual(set(kept.hosts), {"h0.example", "h1.example"})
        self.assertEqual(kept.hosts["h0.example"].address, "address of h0.example")
        self.assertLess(abs(kept.hosts["h0.example"].at - NOON - 120), 121)
        self.assertIsNone(kept.blind)

    def test_answers_of_more_than_a_day_ago_do_not_count(self) -> None:
        self.store.hosts({f"h{number}.example": HostSeen(None, NOON - 90_000) for number in range(2)})
        self.cut("silent")
        life = self.live(*self.hosts(2))
        life.run(120)
        self.assertEqual(life.counted(), {"problem": 2})

    def test_blindness_is_stored_with_its_alert(self) -> None:
        life = self.live(*self.hosts(2))
        life.run(125)
        self.cut("unreachable")
        life.run(100)
        kept = self.store.open()
        assert kept.blind is not None
        self.assertIn("no host answers", kept.blind.words)


class UnseenTests(NetworkCase):
    def unseen(self, life: Life, name: str = "h0.example") -> float | None:
        entry = life.board.by_id(name)
        assert entry is not None
        return None if entry.unseen is None else entry.unseen - NOON

    def test_after_two_intervals_without_an_answer(self) -> None:
        life = self.live(*self.hosts(2))
        changes: list[str] = []
        life.run(125)
        entry = life.board.by_id("h0.example")
        assert entry is not None
        self.assertApproximates(entry.seen or 0, NOON + 120, 0.1)
        self.cut("silent")
        life.board.watch(lambda entry: changes.append(entry.task.name))
        life.run(114)
        self.assertIsNone(self.unseen(life))
        life.run(3)
        self.assertApproximates(self.unseen(life) or 0, 120, 0.1)
        self.assertIn("h0.example", changes)
        self.mend()
        life.run(60)
        self.assertIsNone(self.unseen(life))

    def test_counted_from_the_start(self) -> None:
        first = self.live(*self.hosts(2))
        first.run(125)
        first.stop()
        self.world.clock.advance(1000)
        self.cut("silent")
        life = self.live(*self.hosts(2))
        life.run(119)
        self.assertIsNone(self.unseen(life))
        entry = life.board.by_id("h0.example")
        assert entry is not None
        self.assertApproximates(entry.seen or 0, NOON + 120, 0.1)
        life.run(3)
        self.assertApproximates(self.unseen(life) or 0, 1125, 0.1)

    def test_a_refusal_is_an_answer(self) -> None:
        life = self.live(*self.hosts(2))
        self.cut("refused")
        life.run(300)
        self.assertIsNone(self.unseen(life))

    def test_a_new_task_counts_from_its_reload(self) -> None:
        life = self.live(*self.hosts(1))
        life.run(300)
        self.network.modes["h1.example"] = "silent"
        life.monitor.update(self.hosts(2))
        life.run(115)
        self.assertIsNone(self.unseen(life, "h1.example"))
        life.run(7)
        self.assertApproximates(self.unseen(life, "h1.example") or 0, 300, 0.1)


class ClockTests(NetworkCase):
    """Our wall clock is wrong, by the Date of the answers."""

    def start(self, count: int = 5) -> Life:
        life = self.live(*self.hosts(count))
        self.network.lastrun = lambda task: NOON + self.world.clock.seconds() - 60
        life.run(125)
        return life

    def test_our_clock_an_hour_off(self) -> None:
        for step, kind, words in ((3600, Kind.LATE, "1 h ahead of"), (-3600, Kind.FUTURE, "1 h behind")):
            self.setUp()
            life = self.start()
            self.world.offset += step
            life.run(70)
            # A step is recognised at once by what is known of the hosts' clocks.
            self.assertEqual(life.events(), ["blind"])
            self.assertIn(words, next(a for a in life.notifier.sent if a.event is Event.BLIND).explanation)
            self.assertEqual({entry.state.kind for entry in life.board.entries()}, {kind})
            self.assertRegex(life.board.daemon().explanation, rf"{words}.* \(since \d\d:\d\d:\d\d UTC\)$")
            explanation = next(iter(life.board.entries())).state.verdict
            assert explanation is not None
            self.assertIn("the clock of h0.example is 1 h", explanation.explanation)
            self.world.offset -= step
            life.run(130)
            self.assertEqual(life.events(), ["blind", "sighted"])
            self.assertEqual({entry.state.kind for entry in life.board.entries()}, {Kind.OK})

    def test_our_clock_wrong_at_the_start(self) -> None:
        """It takes three hosts to agree; then no more incidents open."""
        self.world.offset += 3600
        life = self.start(20)
        self.assertEqual(life.counted(), {"blind": 1, "problem": 2})

    def test_one_host_with_a_wrong_clock(self) -> None:
        self.network.ahead["h1.example"] = 3600
        life = self.start()
        self.assertEqual(life.events(), [])

    def test_all_else_is_judged_as_always(self) -> None:
        life = self.start()
        self.world.offset += 3600
        life.run(70)
        self.network.status = "error"
        life.run(60)
        self.assertGreaterEqual(life.counted()["problem"], 3)
        self.assertIn(Kind.FAILED, {entry.state.kind for entry in life.board.entries()})

    def test_a_restart_while_it_is_wrong(self) -> None:
        first = self.start()
        self.world.offset += 3600
        first.run(70)
        self.assertEqual(first.counted()["blind"], 1)
        first.stop()
        second = self.live(*self.hosts(5))
        second.run(130)
        self.assertEqual(second.counted()["blind"], 0)
        self.world.offset -= 3600
        second.run(130)
        self.assertEqual(second.counted()["sighted"], 1)

    def test_a_restart_while_it_is_wrong_and_no_host_answers(self) -> None:
        first = self.start()
        self.world.offset += 3600
        first.run(70)
        self.cut("silent")
        first.run(150)
        self.assertEqual(first.events(), ["blind", "blind"])
        first.stop()
        second = self.live(*self.hosts(5))
        second.run(1)
        self.assertTrue(second.checker.condition.blind and second.checker.condition.clock_wrong)
        self.mend()
        self.world.offset -= 3600
        second.run(130)
        self.assertEqual(second.events(), ["sighted", "sighted"])

    def test_kept_words(self) -> None:
        """A channel that was not sent an alert of it gets one."""
        self.store.blindness(Blind(NOON - 60, "no host answers, for example: x"))
        life = self.live(*self.hosts(3))
        self.assertEqual(life.board.daemon().blind, NOON - 60)
        life.run(5)
        self.assertEqual(life.events(), ["blind", "sighted"])
