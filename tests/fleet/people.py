"""
What people do to a fleet: they silence tasks, end silences early, and acknowledge incidents; and the maintenance of the
ini file.

Moments are true seconds since the start; the edges of quiet times are seconds of the wall clock since then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from tests.fleet.members import DAY, HOUR, MINUTE, Member

#: How long after the end of a silence what is still wrong may be told: the wall clock may have been stepped, and a
#: check may be under way.
LAG = 120.0


class Told(Protocol):
    """What is known of a task's report."""

    member: Member
    run: int | None


@dataclass
class Quiet:
    """
    A time in which the alerts of some tasks are muted.

    :ivar word: the selector: a name, ``name:`` with a glob, or ``server:``.
    :ivar daily: whether it comes every day.
    :ivar given: whether somebody gave it by hand: then it holds until our clock has passed its end, and is gone for
        good, wherever the clock is set.
    :ivar gone: when it was.
    """

    word: str
    start: float
    end: float
    daily: bool = False
    given: bool = False
    gone: float | None = None

    def matches(self, story: Told) -> bool:
        """A server is known from the first report on."""
        field, _, pattern = self.word.rpartition(":")
        if field == "server":
            return story.run is not None and story.member.server == pattern
        name = story.member.name
        return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern

    def touches(self, since: float, until: float) -> bool:
        """Whether a moment from `since` to `until` lies in it."""
        if self.given:
            return self.gone is None or since <= self.gone < until
        if not self.daily:
            return self.start <= until and since < self.end
        first = (since - self.start) // DAY * DAY + self.start
        return since < first + self.end - self.start or until >= first + DAY


class Quiets:
    """All quiet times that there were and are."""

    def __init__(self, quiets: Sequence[Quiet]) -> None:
        self._all = list(quiets)

    def add(self, quiet: Quiet) -> None:
        self._all.append(quiet)

    def now(self, story: Told, wall: float) -> bool:
        """Whether a task's alerts are muted."""
        for each in self._all:
            if each.given and each.gone is None and wall >= each.end:
                each.gone = wall
        return any(each.touches(wall, wall) and each.matches(story) for each in self._all)

    def lately(self, story: Told, wall: float) -> bool:
        """Whether they are, or were a moment ago."""
        return any(each.touches(wall - LAG, wall + 0.01) and each.matches(story) for each in self._all)


@dataclass(frozen=True)
class Silenced:
    """
    A silence given by hand.

    :ivar at: when it is given.
    :ivar word: the selector; ``{name}`` and ``{host}`` stand for the task of an open incident.
    :ivar number: chooses the incident, from 0 to 1.
    :ivar length: in seconds.
    :ivar early: when it is ended before its time, or None.
    """

    at: float
    word: str
    number: float
    length: float
    early: float | None


class People:
    """
    What people do, from one seed.

    :ivar maintenance: of the ini file.
    :ivar silences: what is silenced by hand.
    :ivar acknowledgements: when, and a number that chooses the incident.
    """

    def __init__(self, seed: int, days: float, rates: dict[str, float], members: Sequence[Member]) -> None:
        self._random = random = Random(f"people {seed}")
        self._days = days
        hosts = sorted({member.host for member in members})
        servers = sorted({member.server for member in members})
        for host in hosts:
            # Who runs a host says for how long its deploys take.
            hold = random.choice((0.0, 0.0, MINUTE, 2 * MINUTE))
            for member in members:
                if member.host == host:
                    member.unreachable_for = hold
        self.maintenance: list[Quiet] = []
        if rates["moves"]:
            begin = random.randrange(24) * HOUR + random.randrange(60) * MINUTE
            self.maintenance.append(
                Quiet(f"server:{random.choice(servers)}", begin, begin + random.randrange(30, 180) * MINUTE, daily=True)
            )
        for at in self._moments(rates["moves"]):
            begin = at // 1
            end = begin + random.uniform(20 * MINUTE, 5 * HOUR) // 1
            self.maintenance.append(Quiet(f"name:t{random.choice(hosts)[1:]}-*", begin, end))
        self.silences: list[Silenced] = []
        for at in self._moments(rates["silences"]):
            name = random.choice(members).name
            words = (name, f"name:{name.partition('-')[0]}-*", f"server:{random.choice(servers)}")
            # Most people silence what is in trouble.
            word = random.choice(("{name}", "name:{host}-*", *words))
            length = random.uniform(5 * MINUTE, 6 * HOUR) // 1
            early = at + random.uniform(0, length) if random.random() < 0.3 else None
            self.silences.append(Silenced(at, word, random.random(), length, early))
        self.acknowledgements = [(at, random.random()) for at in self._moments(rates["acknowledgements"])]

    def _moments(self, rate: float) -> list[float]:
        """Random moments at so many a day, in order."""
        count = rate * self._days
        number = int(count) + (self._random.random() < count % 1)
        return sorted(self._random.uniform(900, max(self._days * DAY - 900, 901)) for _ in range(number))
