"""The promises of the contract's section 4, on a fleet for some hours, and in scenes of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.fleet.clock import ProcessClock
from tests.fleet.measure import Measures
from tests.fleet.members import HOUR, MINUTE, Member
from tests.fleet.people import People
from tests.fleet.script import Rates, Script
from tests.fleet.simulation import Message, Simulation


class Scene(Script):
    """
    A script made by hand: tasks that run every ten minutes.

    :param hosts: how many tasks each has.
    :param ways: for each host, since when it answers in which way.
    :param server: of all tasks; None: one for each host.
    """

    def __init__(
        self,
        length: float,
        hosts: dict[str, int],
        ways: dict[str, list[tuple[float, str]]],
        server: str | None = None,
    ) -> None:
        self.seed = 0
        self.length = length
        self.days = length / 86_400
        self.cuts, self.restarts, self.steps, self.outages = [], [], [], []
        self.members = []
        for host, count in hosts.items():
            for number in range(count):
                member = Member(f"{host}-{number}", host, server or f"server of {host}", 60.0, 10 * MINUTE, None)
                at = float(-number - 1)
                while at < length + HOUR:
                    member.runs.append((at, True))
                    at += 10 * MINUTE
                member.runs.append((float("inf"), True))
                member.segments = [(-1.0, "ok"), *ways.get(host, ())]
                self.members.append(member)
        self.people = People(0, 0.0, {"silences": 0.0, "moves": 0.0, "acknowledgements": 0.0}, ())


class FleetTests(SynchronousTestCase):
    unmeasured = True

    def test_some_bad_hours(self) -> None:
        """Everything that happens to a fleet, ten times as often as it does, and more of our own misfortunes."""
        rates = replace(Rates().times(10), cuts=8, restarts=12, small_steps=4, large_steps=4, silences=60)
        simulation = Simulation(Script(5, 6 / 24, rates))
        simulation.run()
        truth = simulation.truth
        self.assertEqual((truth.missed, truth.false, truth.faults), ([], [], []))
        self.assertGreater(truth.incidents, 40)
        self.assertGreater(min(truth.mutings, truth.holds, truth.acknowledgements), 3)
        script = simulation.script
        self.assertTrue(script.cuts and script.restarts and script.steps)
        for channel in simulation.channels:
            measures = Measures(simulation, channel)
            self.assertEqual((measures.lost, measures.doubled, measures.unseen), ([], [], []))
            self.assertEqual([delay for delay in measures.delays if delay.beyond > 0], [])
            self.assertEqual([storm for storm in measures.storms if storm.quiet and storm.messages > 2], [])


class SceneCase(SynchronousTestCase):
    unmeasured = True

    def play(self, scene: Script) -> Simulation:
        simulation = Simulation(scene)
        simulation.run()
        truth = simulation.truth
        self.assertEqual((truth.missed, truth.false, truth.faults), ([], [], []))
        return simulation

    def told(self, messages: Sequence[Message], event: str) -> list[int]:
        """How many alerts each message of this event has."""
        return [len(message.alerts) for message in messages if message.source == event]


class StormTests(SceneCase):
    def test_one_origin(self) -> None:
        """Two messages of problems, and two of recoveries, whatever the outage."""
        for way in ("refused", "503"):
            for at in (603.0, 621.0, 655.0):
                hosts = {"down": 9} | {f"h{number}": 3 for number in range(8)}
                simulation = self.play(Scene(1500, hosts, {"down": [(at, way), (at + 300, "ok")]}))
                for channel in simulation.channels:
                    problems = self.told(channel.messages, "problem")
                    self.assertEqual(sum(problems), 9)
                    self.assertLessEqual(len(problems), 2, (way, at, problems))
                    self.assertEqual(sum(self.told(channel.messages, "recovered")), 9)

    def test_a_silent_origin_with_a_hold(self) -> None:
        """Its tasks' holds end one by one."""
        for at in (603.0, 621.0, 655.0):
            scene = Scene(1500, {"down": 9} | {f"h{number}": 3 for number in range(8)}, {"down": [(at, "silent")]})
            for member in scene.members:
                member.unreachable_for = 60.0
            simulation = self.play(scene)
            for channel in simulation.channels:
                self.assertEqual(self.told(channel.messages, "problem"), [1, 8])

    def test_several_origins_of_one_server(self) -> None:
        """Three messages tell of what fails within one timeout."""
        hosts = {"a": 5, "b": 5, "c": 5}
        for way in ("refused", "503"):
            for at in (603.0, 621.0, 655.0):
                ways = {host: [(at, way), (at + 300, "ok")] for host in hosts}
                simulation = self.play(Scene(1500, hosts, ways, "db1"))
                problems = [each for each in simulation.truth.caused if each.event == "problem"]
                within = {each.id for each in problems if each.seen <= problems[0].seen + 20}
                for channel in simulation.channels:
                    messages = [each for each in channel.messages if within & {alert.id for alert in each.alerts}]
                    self.assertLessEqual(len(messages), 3, (way, at, self.told(messages, "problem")))


class StaleTests(SceneCase):
    def test_reminders_that_wait_hold_up_nothing(self) -> None:
        """300 tasks recover while the channels refuse everything and hold reminders."""
        hosts = {f"h{number}": 15 for number in range(20)} | {"new": 1}
        ways = {f"h{number}": [(605.0, "invalid"), (3000.0, "ok")] for number in range(20)}
        simulation = Simulation(Scene(4200, hosts, ways | {"new": [(3080.0, "refused")]}))
        clock = ProcessClock(simulation.clock)

        def turn(*, down: bool) -> None:
            for channel in simulation.channels:
                channel.down = down

        clock.callLater(1000, turn, down=True)
        clock.callLater(3100, turn, down=False)
        simulation.run()
        seen = next(each.seen for each in simulation.truth.caused if each.task == "new-0")
        for channel in simulation.channels:
            before = {alert.task for message in channel.messages if message.at < 1000 for alert in message.alerts}
            self.assertEqual(len(before - {""}), 300)
            after = [message for message in channel.messages if message.at > 3000]
            new = next(message for message in after if message.alerts[0].task == "new-0")
            self.assertLess(new.at - max(seen, after[0].at), 3)
            for message in after:
                if message.source == "reminder":
                    self.assertEqual({alert.task for alert in message.alerts}, {"new-0"})
            self.assertEqual(sum(self.told(after, "recovered")), 300)
            self.assertLessEqual(len(self.told(after, "recovered")), 3)
