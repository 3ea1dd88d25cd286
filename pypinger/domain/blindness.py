"""
Whose fault it is that a check got no answer (contract, section 3, "Whose fault").

:class:`Attribution` keeps what the hosts did, and decides; it is told the time and does no I/O. Times are in seconds on
a clock that never goes back. :mod:`pypinger.runtime.blindness` feeds it, asks the hosts that it names, and acts.

Note [Blindness]
~~~~~~~~~~~~~~~~
Whoever answers is reachable, so an answer of any kind is judged. Without one the fault may be ours:

* An error number of our own side says so by itself.
* A host that is *silent* (or whose name is not resolved, or to which there is no route) opens a :class:`Question`.
  Other hosts that answered within the last day are asked at once, and the silent task once more. The first answer of
  another host, to a request that began after the silent one, blames the task. If none comes until the question's
  deadline, Py Pinger is blind if at least two hosts were silent, or no route existed, or no name was resolved;
  otherwise the task is blamed.

A host that was blamed counts as evidence only after it has answered again. Hosts are machines: names that were last
reached at one address are one host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from pypinger.domain.model import Answer, Fault, Observation, Seconds
from pypinger.domain.times import DAY
from pypinger.domain.url import is_ip_address

#: Seconds without an error number of our own side before an answer ends blindness: when descriptors run out every other
#: check may succeed, and must not cause an alert each.
CALM: Seconds = 10.0

#: The number of other hosts that a question asks.
ASKED = 64

#: Seconds beyond the task's timeout after which a question is decided without an answer.
SLACK: Seconds = 5.0

NEVER: Seconds = float("-inf")


class Sign(Enum):
    """What one exchange shows about its host."""

    ANSWERED = "answered"
    SILENT = "silent"
    UNRESOLVED = "unresolved"
    NO_ROUTE = "no route"
    OWN = "own"
    NONE = "none"


class Cause(Enum):
    """Why Py Pinger is blind."""

    OWN = "own"
    NO_ROUTE = "no route"
    RESOLVER = "resolver"
    SILENCE = "silence"


class Decision(Enum):
    """Whose fault a check without an answer is."""

    THEIRS = "theirs"
    OURS = "ours"


_BY_FAULT = {Fault.OWN: Sign.OWN, Fault.NO_ROUTE: Sign.NO_ROUTE, Fault.DNS: Sign.UNRESOLVED}


def sign_of(observation: Observation) -> Sign:
    """Return what an observation shows about its host."""
    contact = observation.contact
    if isinstance(observation, Answer):
        return Sign.SILENT if contact is not None and contact.silent else Sign.ANSWERED
    fault = observation.fault
    if fault in _BY_FAULT:
        return _BY_FAULT[fault]
    if contact is not None:
        return Sign.SILENT if contact.silent else Sign.ANSWERED
    if fault in (Fault.TIMEOUT, Fault.CONNECT):
        return Sign.SILENT
    # Without a contact, these failed before any host was asked: a certificate file that cannot be read, say.
    return Sign.NONE if fault in (Fault.URL, Fault.TOKEN, Fault.TLS, Fault.BROKEN) else Sign.ANSWERED


class _Machine:
    """
    A host: one address, or a name whose address is unknown.

    :ivar answered: when it answered last.
    :ivar unreached: when an exchange ended last without reaching it.
    :ivar silent: whether that came after its latest answer.
    :ivar blamed: whether a task was blamed for its silence since it answered last.
    """

    __slots__ = ("answered", "blamed", "silent", "unreached")

    def __init__(self) -> None:
        self.answered: Seconds = NEVER
        self.unreached: Seconds = NEVER
        self.silent = False
        self.blamed = False


class _Name:
    """
    A host name, or an IP address used as one.

    :ivar literal: whether it is an IP address.
    :ivar resolved: when it was known to resolve last.
    :ivar failed: when a look-up of it failed last.
    :ivar failing: whether that came after it was known to resolve.
    """

    __slots__ = ("address", "failed", "failing", "literal", "machine", "resolved")

    def __init__(self, host: str) -> None:
        self.machine = _Machine()
        self.literal = is_ip_address(host)
        self.address: str | None = None
        self.resolved: Seconds = NEVER
        self.failed: Seconds = NEVER
        self.failing = False


class Question:
    """
    A check that got no answer, while others are asked: see Note [Blindness].

    :ivar host: the host that gave no answer.
    :ivar began: when that request began.
    :ivar deadline: when it is decided without an answer.
    :ivar heard: whether any host, itself included, has answered a request that began after it.
    """

    __slots__ = ("began", "deadline", "heard", "host", "sign")

    def __init__(self, sign: Sign, host: str, began: Seconds, deadline: Seconds) -> None:
        self.sign = sign
        self.host = host
        self.began = began
        self.deadline = deadline
        self.heard = False


class Attribution:
    """Decides whose fault it is: see Note [Blindness]."""

    def __init__(self) -> None:
        self._names: dict[str, _Name] = {}
        self._machines: dict[str, _Machine] = {}
        self._questions: list[Question] = []
        self._blind: Cause | None = None
        self._own: Seconds = NEVER
        self._sighted: Seconds = NEVER

    @property
    def blind(self) -> Cause | None:
        """Why Py Pinger is blind; None while it sees."""
        return self._blind

    def restore(self, hosts: Mapping[str, tuple[str | None, Seconds]], *, blind: bool) -> None:
        """
        Take up what was known before a restart.

        :param hosts: name -> its address and when it answered last.
        """
        for host, (address, answered) in hosts.items():
            self._record_answer(host, address, answered)
        self._blind = Cause.SILENCE if blind else None

    def known(self, now: Seconds) -> Iterator[tuple[str, str | None, Seconds]]:
        """Forget hosts that have not answered for a day; give the others with their address and latest answer."""
        for host, name in list(self._names.items()):
            if name.machine.answered > now - DAY:
                yield host, name.address, name.machine.answered
            elif max(name.machine.unreached, name.failed) <= now - DAY:
                del self._names[host]
        self._machines = {name.address: name.machine for name in self._names.values() if name.address is not None}

    def silent(self, host: str) -> bool:
        """Whether the latest exchange with a host did not reach it."""
        name = self._names.get(host)
        return name is not None and name.machine.silent

    def answered(self, host: str, address: str | None, began: Seconds, now: Seconds) -> list[Question]:
        """
        Record an answer of any kind; it may end blindness.

        :param began: when the request began.
        :returns: the questions that it decides: :meth:`blame` those tasks, unless they answer now.
        """
        name = self._record_answer(host, address, now)
        calm = now - self._own >= CALM and not (self._blind is Cause.RESOLVER and name.literal)
        if self._blind is not None and calm:
            self._blind, self._sighted = None, now
        decided = []
        for question in self._questions:
            if began > question.began:
                question.heard = True
                if self._shows(name, question, now) and self._name(question.host).machine is not name.machine:
                    decided.append(question)
        for question in decided:
            self.withdraw(question)
        return decided

    def unreached(self, sign: Sign, host: str, now: Seconds) -> None:
        """Record an exchange that did not reach its host."""
        name = self._name(host)
        name.machine.unreached = now
        name.machine.silent = True
        if sign is Sign.UNRESOLVED:
            name.failed = now
            name.failing = True

    def ask(self, sign: Sign, host: str, began: Seconds, now: Seconds, timeout: Seconds) -> Question | Decision:
        """
        Ask whose fault it is that a check did not reach its host.

        :param began: when its request began.
        :param timeout: the task's.
        :returns: a question to be decided by :meth:`answered`, :meth:`own_fault` or :meth:`expire`, where that is open.
        """
        self.unreached(sign, host, now)
        if self._blind is not None or began < self._sighted:
            # What began while Py Pinger was blind shows nothing, even if it ends later.
            return Decision.OURS
        if self._name(host).machine.blamed:
            return Decision.THEIRS
        question = Question(sign, host, began, now + timeout + SLACK)
        self._questions.append(question)
        return question

    def to_ask(self, question: Question, now: Seconds) -> list[list[str]]:
        """Return the other hosts that count, each with its names, those heard last first; ask :data:`ASKED` of them."""
        machine = self._name(question.host).machine
        others: dict[_Machine, list[str]] = {}
        for host, name in self._names.items():
            if name.machine is not machine and self._counts(name.machine, now):
                others.setdefault(name.machine, []).append(host)
        return [others[each] for each in sorted(others, key=lambda each: each.answered, reverse=True)]

    def expire(self, question: Question, now: Seconds) -> Decision:
        """Decide a question whose deadline has passed; if Py Pinger is blind, so are all others."""
        cause = self._cause(question, now)
        if cause is None:
            self.blame(question)
            return Decision.THEIRS
        self._blind = cause
        self._questions.clear()
        return Decision.OURS

    def own_fault(self, now: Seconds) -> None:
        """Record an error number of our own side: Py Pinger is blind, which decides all questions."""
        self._own = now
        self._blind = self._blind or Cause.OWN
        self._questions.clear()

    def withdraw(self, question: Question) -> None:
        """Drop a question, because its task has answered or is no longer checked."""
        if question in self._questions:
            self._questions.remove(question)

    def _shows(self, name: _Name, question: Question, now: Seconds) -> bool:
        """Whether an answer decides a question; that of an address does not show that other names are resolved."""
        if question.sign is not Sign.UNRESOLVED or not name.literal:
            return True
        others = (each for host, each in self._names.items() if host != question.host and not each.literal)
        return not any(each.resolved > now - DAY for each in others)

    def _name(self, host: str) -> _Name:
        name = self._names.get(host)
        if name is None:
            name = self._names[host] = _Name(host)
        return name

    def _record_answer(self, host: str, address: str | None, now: Seconds) -> _Name:
        name = self._name(host)
        if address is not None and address != name.address:
            name.address = address
            name.machine = self._machines.setdefault(address, _Machine())
        machine = name.machine
        machine.answered = max(machine.answered, now)
        machine.silent = machine.blamed = name.failing = False
        name.resolved = now
        return name

    def _counts(self, machine: _Machine, now: Seconds) -> bool:
        """Whether a host is evidence: it answered within the last day and is not blamed."""
        return machine.answered > now - DAY and not machine.blamed

    def _cause(self, question: Question, now: Seconds) -> Cause | None:
        if question.sign is Sign.NO_ROUTE and not question.heard:
            return Cause.NO_ROUTE
        names = self._names.values()
        silent = {
            name.machine
            for name in names
            if name.machine.silent and name.machine.unreached >= question.began and self._counts(name.machine, now)
        }
        if len(silent) >= 2 and not question.heard:
            return Cause.SILENCE
        failed = sum(name.failing and name.failed >= question.began and name.resolved > now - DAY for name in names)
        if question.sign is Sign.UNRESOLVED and failed >= 2:
            return Cause.RESOLVER
        return None

    def blame(self, question: Question) -> None:
        """Record that a host is to blame: it is no evidence until it answers again."""
        self.withdraw(question)
        self._name(question.host).machine.blamed = True
