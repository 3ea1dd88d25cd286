"""
What happens to a fleet: 116 tasks on 20 origins, their runs and their outages, from one seed.

Times are true seconds since the start. The script knows nothing of Py Pinger but the contract's sections 1 and 2.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import exp, log
from random import Random
from typing import TypeAlias

from tests.fleet.members import DAY, HOUR, MINUTE, Member
from tests.fleet.people import People

#: A stretch of time and what happens in it.
Stretch: TypeAlias = tuple[float, float, str]

SIZES = (9, 9, 9, 8, 8, 7, 7, 6, 6, 6, 5, 5, 5, 5, 4, 4, 4, 3, 3, 3)
FREQUENCIES = (5, 10, 10, 10, 15, 30, 30, 60, 60, 120, 360, 1440)
SERVERS = 12


@dataclass(frozen=True)
class Rates:
    """How often a day things happen to the fleet."""

    missed: float = 11.0
    hung: float = 8.0
    failed_run: float = 5.0
    failed_long: float = 4.0
    blips: float = 5.0
    forgotten: float = 0.45
    deploys: float = 1.0
    outages: float = 0.9
    flapping: float = 0.4
    slow: float = 0.5
    cuts: float = 0.15
    restarts: float = 0.3
    small_steps: float = 0.1
    large_steps: float = 0.04
    silences: float = 3.0
    moves: float = 0.15
    acknowledgements: float = 4.0

    def times(self, factor: float) -> Rates:
        return Rates(**{name: value * factor for name, value in vars(self).items()})


class Script:
    """
    A fleet and what happens to it.

    :ivar cuts: when our own network is cut.
    :ivar restarts: when the daemon ends, and when it is back; ``kill`` or ``stop``.
    :ivar steps: from when to when our wall clock is off, and by how many seconds.
    :ivar outages: (host, from, to, how).
    :ivar people: what people do meanwhile.
    """

    def __init__(self, seed: int, days: float, rates: Rates | None = None) -> None:
        self.seed = seed
        self.length = days * DAY
        self.days = days
        self.rates = rates or Rates()
        self._random = Random(seed)
        self.members = self._fleet()
        self.cuts: list[tuple[float, float]] = []
        self.restarts: list[Stretch] = []
        self.steps: list[tuple[float, float, float]] = []
        self.outages: list[tuple[str, float, float, str]] = []
        self.people = People(seed, days, vars(self.rates), self.members)
        self._ours()
        self._tasks()
        self._origins()

    def _fleet(self) -> list[Member]:
        random, members = self._random, []
        for number, size in enumerate(SIZES):
            for index in range(size):
                frequency = random.choice(FREQUENCIES) * MINUTE
                sleep = None
                if frequency <= 2 * HOUR and random.random() < 0.12:
                    sleep = (float(random.randrange(18, 24) * 3600), float(random.randrange(3, 9) * 3600))
                interval = 300.0 if random.random() < 0.4 else 60.0
                server = f"srv{random.randrange(SERVERS)}"
                members.append(Member(f"t{number}-{index}", f"h{number}", server, interval, frequency, sleep))
        return members

    def _moments(self, rate: float) -> list[float]:
        """Random moments at so many a day, in order, away from both ends."""
        count = rate * self.days
        number = int(count) + (self._random.random() < count % 1)
        return sorted(self._random.uniform(900, max(self.length - 900, 901)) for _ in range(number))

    def _between(self, least: float, most: float) -> float:
        """A length whose logarithm is evenly spread."""
        return exp(self._random.uniform(log(least), log(most)))

    def _ours(self) -> None:
        """The daemon's own misfortunes, which keep some distance from one another."""
        random, taken = self._random, [(0.0, 0.0)]

        def free(start: float, end: float) -> bool:
            if any(start < to + 900 and since - 900 < end for since, to in taken):
                return False
            taken.append((start, end))
            return True

        for at in self._moments(self.rates.cuts):
            if free(at, end := at + self._between(20, 1200)):
                self.cuts.append((at, end))
        for at in self._moments(self.rates.restarts):
            if free(at, end := at + random.uniform(1, 20)):
                self.restarts.append((at, end, random.choice(("stop", "kill"))))
        for at in self._moments(self.rates.small_steps):
            if free(at, end := at + self._between(300, 7200)):
                self.steps.append((at, end, random.choice((-1, 1)) * random.uniform(5, 35)))
        for at in self._moments(self.rates.large_steps):
            if free(at, end := at + self._between(300, 1800)):
                self.steps.append((at, end, random.choice((-1, 1)) * random.uniform(120, 7200)))

    def _tasks(self) -> None:
        random = self._random
        stops: dict[str, list[Stretch]] = {member.name: [] for member in self.members}
        skips: dict[str, list[float]] = {member.name: [] for member in self.members}
        fails: dict[str, list[Stretch]] = {member.name: [] for member in self.members}
        quick = [member for member in self.members if member.frequency <= 2 * HOUR]
        self._blips: dict[str, list[Stretch]] = {}
        for at in self._moments(self.rates.missed):
            skips[random.choice(quick if random.random() < 0.93 else self.members).name].append(at)
        for at in self._moments(self.rates.hung):
            stops[random.choice(quick).name].append((at, at + self._between(30 * MINUTE, 12 * HOUR), "hung"))
        for at in self._moments(self.rates.forgotten):
            stops[random.choice(quick).name].append((at, at + self._between(DAY, 4 * DAY), "hung"))
        for at in self._moments(self.rates.failed_run):
            fails[random.choice(quick).name].append((at, at, "once"))
        for at in self._moments(self.rates.failed_long):
            fails[random.choice(quick).name].append((at, at + self._between(20 * MINUTE, 10 * HOUR), "long"))
        for at in self._moments(self.rates.flapping):
            member = random.choice([each for each in quick if each.frequency >= 10 * MINUTE and not each.sleep])
            fails[member.name].append((at, at + random.uniform(HOUR, 3 * HOUR), "flap"))
        for at in self._moments(self.rates.blips):
            self._blips.setdefault(random.choice(self.members).name, []).append(
                (at, at + random.uniform(30, 70), "invalid")
            )
        for member in self.members:
            self._run(member, stops[member.name], sorted(skips[member.name]), sorted(fails[member.name]))

    def _run(self, member: Member, stops: list[Stretch], skips: list[float], fails: list[Stretch]) -> None:
        """Make the runs of a task: each a little after it is due, but for what happens to it."""
        random, at, well, once = self._random, -self._random.uniform(0, member.frequency), True, 0.0
        if (end := member.asleep_until(at)) is not None:
            at = end - DAY * (end > 0)
        while at < self.length + DAY:
            member.runs.append((at, well))
            flap = next((each for each in fails if each[2] == "flap" and each[0] <= at < each[1]), None)
            if flap is not None:
                at, well = at + random.uniform(2 * MINUTE, 8 * MINUTE), not well or at > flap[1]
                continue
            due = member.due(at)
            while skips and skips[0] < due:
                skips.pop(0)
                due = member.due(due)
            flap = next((each for each in fails if each[2] == "flap" and at < each[0] < due), None)
            at = flap[0] if flap is not None else due + random.uniform(0, 20)
            hung = next((each for each in stops if each[0] <= at < each[1]), None)
            if hung is not None:
                at = hung[1]
            if (end := member.asleep_until(at)) is not None:
                at = end + random.uniform(0, 20)
            long = any(each[2] == "long" and each[0] <= at < each[1] for each in fails)
            single = next((each[0] for each in fails if each[2] == "once" and once < each[0] <= at), None)
            once = single or once
            well = not (long or single)
        member.runs.append((float("inf"), True))

    def _origins(self) -> None:
        random, hosts = self._random, sorted({member.host for member in self.members})
        ways: dict[str, list[Stretch]] = {host: [] for host in hosts}
        for at in self._moments(self.rates.slow):
            ways[random.choice(hosts)].append((at, at + self._between(5 * MINUTE, HOUR), "slow"))
        for at in self._moments(self.rates.deploys):
            host, end = random.choice(hosts), at + random.uniform(10, 50)
            ways[host].append((at, end, random.choice(("refused", "503"))))
        for at in self._moments(self.rates.outages):
            host, end = random.choice(hosts), at + self._between(MINUTE, 6 * HOUR)
            ways[host].append((at, end, random.choice(("refused", "503", "silent"))))
        for host, stretches in ways.items():
            self.outages += [(host, *each) for each in stretches if each[2] != "slow"]
        self.outages.sort(key=lambda each: each[1])
        cut: list[Stretch] = [(start, end, "cut") for start, end in self.cuts]
        for member in self.members:
            # Later stretches hide earlier ones.
            down = [each for each in ways[member.host] if each[2] != "slow"]
            slow = [each for each in ways[member.host] if each[2] == "slow"]
            member.segments = _segments([*slow, *self._blips.get(member.name, ()), *down, *cut])

    def offset(self, at: float) -> float:
        """By how much our wall clock is off."""
        return next((step for start, end, step in self.steps if start <= at < end), 0.0)


def _segments(stretches: list[Stretch]) -> list[tuple[float, str]]:
    edges = sorted({0.0, *(edge for start, end, _ in stretches for edge in (start, end))})
    found = [(-1.0, "ok")]
    for edge in edges:
        way = "ok"
        for start, end, what in stretches:
            if start <= edge < end:
                way = what
        if way != found[-1][1]:
            found.append((edge, way))
    return found


def way_at(member: Member, at: float) -> tuple[str, float]:
    """How a task answers at a time, and until when that lasts."""
    index = bisect_right(member.segments, (at, "~")) - 1
    following = member.segments[index + 1][0] if index + 1 < len(member.segments) else float("inf")
    return member.segments[index][1], following
