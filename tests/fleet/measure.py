"""
What people got: delays, duplicates, messages a day and a storm, against what the contract's section 4 permits.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.fleet.simulation import Message, PlainChannel, Simulation
from tests.fleet.truth import Caused

SECOND = 1.0
GROUP_WAIT = 5.0
TIMEOUT = 20.0
APART = 60.0

#: How long the question of fault may take for a silent task, after its request.
FAULT = TIMEOUT + 5.0

#: How soon a cut of our own network is told, and its end: a check, its timeout, and the question of fault.
CUT = 60.0 + TIMEOUT + FAULT + 5.0

NEW = ("problem", "flapping")


@dataclass(frozen=True)
class Delay:
    """How long after its onset an alert reached people, and how long that might take."""

    caused: Caused
    took: float
    permitted: float

    @property
    def beyond(self) -> float:
        return self.took - self.permitted


@dataclass(frozen=True)
class Storm:
    """
    An outage of an origin, as people were told of it.

    :ivar tasks: how many failed within one timeout.
    :ivar messages: how many messages of problems told of these.
    :ivar quiet: whether there was no other trouble on the origin and its servers.
    """

    way: str
    start: float
    tasks: int
    messages: int
    quiet: bool


class Measures:
    """
    :ivar delays: of problems.
    :ivar lost: alerts of problems and recoveries that reached nobody.
    :ivar unseen: cuts of our own network that were not told.
    :ivar doubled: ids that came twice.
    """

    def __init__(self, simulation: Simulation, channel: PlainChannel) -> None:
        self.script = simulation.script
        self.truth = simulation.truth
        self.messages = channel.messages
        self._members = {member.name: member for member in self.script.members}
        sent: dict[str, list[Message]] = defaultdict(list)
        for message in self.messages:
            for alert in message.alerts:
                sent[alert.id].append(message)
        self.doubled = sorted(id_ for id_, messages in sent.items() if len(messages) > 1)
        told = {id_: messages[0].at for id_, messages in sent.items()}
        caused = sorted(self.truth.caused, key=lambda each: each.seen)
        self.lost = [each for each in caused if each.event != "changed" and each.id not in told]
        self._news = [message.at for message in self.messages if message.source != "reminder"]
        self._permitted = dict(self._waits(caused))
        self.delays = [
            Delay(each, told[each.id] - each.onset, self._pace(each, told[each.id]))
            for each in caused
            if each.event in NEW and each.id in told
        ]
        self.unseen = [start for start, end in self.script.cuts if not self._cut_told(start, end)]
        self.storms = list(self._storms(caused, sent))

    def days(self) -> float:
        return self.script.days

    def sources(self) -> Counter[str]:
        """Messages by source; replies in a thread have a + behind it."""
        return Counter(message.source + ("+" if message.thread else "") for message in self.messages)

    def a_day(self) -> float:
        """Messages of the channel a day, without replies in threads."""
        return sum(not message.thread for message in self.messages) / self.script.days

    def _waits(self, caused: Iterable[Caused]) -> Iterable[tuple[str, float]]:
        """For each problem, how long it might wait for others (contract, section 4, "Storms")."""
        latest: dict[tuple[str, str], float] = {}
        opened: dict[tuple[str, str], set[str]] = defaultdict(set)
        storms: set[tuple[str, str]] = set()
        recent: list[float] = []
        for each in caused:
            member = self._members[each.task]
            places = [("host", member.host), ("server", member.server)]
            if each.event == "recovered":
                for place in places:
                    opened[place].discard(each.task)
                    if not opened[place]:
                        storms.discard(place)
                continue
            if each.event not in NEW:
                continue
            wait = 0.0
            recent = [at for at in recent if at > each.seen - GROUP_WAIT]
            if len(recent) >= 2:
                wait = GROUP_WAIT
            for place in places:
                if each.seen - latest.get(place, -APART) <= TIMEOUT + GROUP_WAIT:
                    wait = max(wait, TIMEOUT + GROUP_WAIT)
                if place in storms:
                    wait = max(wait, APART + TIMEOUT + GROUP_WAIT)
            yield each.id, wait
            recent.append(each.seen)
            for place in places:
                latest[place] = each.seen
                opened[place].add(each.task)
                if len(opened[place]) >= 2:
                    storms.add(place)

    def _pace(self, each: Caused, told: float) -> float:
        """What is permitted until then: the check, the group, and one second for each message sent meanwhile."""
        base = SECOND + self._permitted[each.id] + (each.seen - each.onset if each.kind == "unreachable" else 0.0)
        since = bisect_left(self._news, each.seen + self._permitted[each.id] - SECOND)
        before = bisect_right(self._news, told) - 1 - since
        return base + max(0, before)

    def _storms(self, caused: list[Caused], sent: dict[str, list[Message]]) -> Iterable[Storm]:
        outages = self.script.outages
        for host, start, end, way in outages:
            others = [each for each in outages if each[0] == host and each[1] != start]
            near = any(since < end + 600 and start < until + 600 for _, since, until, _ in others)
            if near or any(since < end + 60 and start < until + 60 for since, until in self.script.cuts):
                continue
            servers = {member.server for member in self._members.values() if member.host == host}
            quiet = not self._troubled(caused, host, servers, start)
            problems = [
                each
                for each in caused
                if each.event in NEW
                and each.kind == "unreachable"
                and self._members[each.task].host == host
                and start <= each.seen <= end + FAULT
            ]
            # The promise is for those that fail within one timeout.
            first = problems[0].seen if problems else 0.0
            within = [each for each in problems if each.seen <= first + TIMEOUT]
            messages = {message.at for each in within for message in sent.get(each.id, ())}
            if within:
                yield Storm(way, start, len(within), len(messages), quiet=quiet)

    def _cut_told(self, start: float, end: float) -> bool:
        """Whether people heard that we were blind, and that we no longer are."""
        if end - start < CUT:
            return True
        blind = any(each.source == "blind" and start <= each.at <= start + CUT for each in self.messages)
        return blind and any(each.source == "sighted" and end <= each.at <= end + CUT for each in self.messages)

    def _troubled(self, caused: list[Caused], host: str, servers: set[str], at: float) -> bool:
        """Whether an incident is open on the origin or one of its servers, or something happened there just now."""
        opened = set()
        for each in caused:
            if each.seen > at + 60:
                break
            member = self._members[each.task]
            if member.host != host and member.server not in servers:
                continue
            if each.event == "recovered":
                opened.discard(each.task)
            elif each.seen < at:
                opened.add(each.task)
            elif member.host != host:
                return True
        return bool(opened)


def quantile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
