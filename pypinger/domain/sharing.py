"""
Which instance owns which task and channel (contract, section 8, "Several machines"): rendezvous hashing.

Each instance works out the same owners from the same members, without asking the others. An instance that joins or
leaves moves only its own share: all other keys stay where they are.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence, Set
from hashlib import blake2b
from itertools import compress
from operator import ge, gt
from struct import unpack
from typing import NamedTuple

#: How many keys are ranked in one step.
STEP = 5000

#: Of how many names that are no members now the scores are remembered, since an instance that stops often comes back.
REMEMBERED = 8


class Member(NamedTuple):
    """
    An instance as the ranking sees it.

    :ivar name: unlike those of all other members.
    :ivar keys: what it can own, by its ini file.
    :ivar blind: whether it is blind; it gets nothing that a member who sees lists.
    """

    name: str
    keys: frozenset[str]
    blind: bool = False


class Moves(NamedTuple):
    """
    What an instance is to do.

    :ivar leave: keys that it owns and that are another's, or no longer listed by any.
    :ivar gain: keys that it is to own once they are free.
    """

    leave: frozenset[str]
    gain: frozenset[str]


class Ranking:
    """
    Ranks members for a fixed set of keys. It remembers scores, so that only new names cost hashing.

    :param keys: those of all members.
    """

    def __init__(self, keys: Collection[str]) -> None:
        self._keys = tuple(keys)
        self._scores: dict[str, array[int]] = {}
        self._members: Collection[str] = ()

    def steps(self, members: Sequence[Member], name: str) -> Iterator[list[str]]:
        """
        What a member is to own, of :data:`STEP` keys at a time.

        :param name: of the member.
        """
        members = sorted(members, key=lambda member: member.name)
        self._members = [member.name for member in members]
        self._forget(self._members)
        for start, part in self._parts():
            ranked = [(member, self._part(member.name, start, part)) for member in members]
            seeing = [(member, scores) for member, scores in ranked if not member.blind] or ranked
            if all(member.keys.issuperset(part) for member, _ in seeing):
                yield _won(part, [(member.name, scores) for member, scores in seeing], name)
            else:
                owners = _owners(part, ranked)
                yield [key for key, owner in owners.items() if owner == name]

    def foresee(self, name: str) -> Iterator[None]:
        """Work out the scores of one that will be a member, in the same steps."""
        self._forget([*self._members, name])
        for start, part in self._parts():
            self._part(name, start, part)
            yield

    def _parts(self) -> Iterator[tuple[int, Sequence[str]]]:
        for start in range(0, len(self._keys), STEP):
            yield start, self._keys[start : start + STEP]

    def _forget(self, names: Collection[str]) -> None:
        """Forget the oldest of those that are not these."""
        for other in [other for other in self._scores if other not in names][:-REMEMBERED]:
            del self._scores[other]

    def _part(self, name: str, start: int, part: Sequence[str]) -> Sequence[int]:
        scores = self._scores.setdefault(name, array("Q"))
        if len(scores) == start:
            scores.extend(_scores(part, name))
        return scores[start : start + len(part)]


def _won(part: Sequence[str], ranked: Sequence[tuple[str, Sequence[int]]], name: str) -> list[str]:
    """Of keys that all members list those that this member is to own."""
    mine = next((scores for member, scores in ranked if member == name), None)
    if mine is None:
        return []
    # Of equal scores that of the first name wins. Without a line of Python for each key: others wait for the owners.
    won = [map(gt if member < name else ge, mine, scores) for member, scores in ranked if member != name]
    return list(compress(part, map(all, zip(*won, strict=True)))) if won else list(part)


def _owners(part: Sequence[str], ranked: Sequence[tuple[Member, Sequence[int]]]) -> dict[str, str]:
    """Key -> the name of its owner; keys that no member lists are left out."""
    owners = {}
    for number, key in enumerate(part):
        listing = [(member, scores[number]) for member, scores in ranked if key in member.keys]
        seeing = [each for each in listing if not each[0].blind] or listing
        if seeing:
            owners[key] = max(seeing, key=lambda each: each[1])[0].name
    return owners


def _scores(keys: Sequence[str], name: str) -> Sequence[int]:
    """How much an instance is to own each key; the highest score wins, then the name that sorts first."""
    end = f"\0{name}"
    digests = [blake2b((key + end).encode("utf-8", "surrogatepass"), digest_size=8).digest() for key in keys]
    return unpack(f">{len(keys)}Q", b"".join(digests))


def moves(mine: Set[str], owned: Set[str], adopted: Set[str]) -> Moves:
    """
    Compare what an instance owns with what it is to own.

    :param adopted: keys that it owns although no member lists them, in order to close them.
    """
    return Moves(frozenset(owned - mine - adopted), frozenset(mine - owned))


def moved(before: Moves, changed: Set[str], mine: Set[str], owned: Set[str], adopted: Set[str]) -> Moves:
    """
    Compare anew after some keys have changed hands: as :func:`moves` of all keys, but looks at these alone.

    :param before: the comparison before.
    :param mine: of these keys those that the instance is to own; `owned`: those that it owns.
    """
    now = moves(mine, owned, adopted)
    return Moves((before.leave - changed) | now.leave, (before.gain - changed) | now.gain)
