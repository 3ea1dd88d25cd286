"""
Whose fault it is that a check got no answer (contract, section 3, "Whose fault").

:class:`Attribution` keeps what the hosts did, and decides. The time is a parameter; no I/O. Times are in seconds on
a clock that never goes back. :mod:`pypinger.runtime.blindness` feeds it, asks the hosts that it names, and acts.

Note [Blindness]
~~~~~~~~~~~~~~~~
Whoever answers is reachable, so an answer of any kind is judged. Without one the fault may be ours:

* An error number of our own side says so by itself.
* A host that is *silent*, or to which there is no route, opens a :class:`Question`. Other hosts that answered within
  the last day are asked at once, and the silent task once more. The first answer of another host, to a request that
  began after the silent one, blames the task. If none comes until the question's deadline, Py Pinger is blind if at
  least two hosts were silent, or no route existed; otherwise the task is blamed.
* A name that is *not resolved* opens a question, too, but answers over kept connections or from known addresses show
  nothing about the resolver. Other names that were resolved within the last day are looked up. The first that is
  resolved blames the task. If none is, Py Pinger is blind if at least two names failed.

Hosts are machines: names that were last reached at one address are one host. A host that was blamed for silence counts
as evidence of silence only after it has answered again. Names are judged by themselves: what is blamed because a name
is not resolved says nothing about other names of its address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from pypinger.domain.model import Seconds
from pypinger.domain.signs import Sign
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

    :ivar resolved: when it was resolved last; never for an IP address.
    :ivar failed: when a look-up of it failed last.
    :ivar failing: whether that came after it was resolved.
    :ivar blamed: whether a task was blamed for that since it was resolved or answered last.
    """

    __slots__ = ("address", "blamed", "failed", "failing", "machine", "resolved")

    def __init__(self) -> None:
        self.machine = _Machine()
        self.address: str | None = None
        self.resolved: Seconds = NEVER
        self.failed: Seconds = NEVER
        self.failing = False
        self.blamed = False


class Question:
    """
    A check that got no answer, while others are asked: see Note [Blindness].

    :ivar host: the host that gave no answer.
    :ivar began: when that request began.
    :ivar deadline: when it is decided without an answer.
    :ivar heard: whether any host, itself included, has answered a request that began after it.
    :ivar resolved: whether any name, its own included, was resolved by a request that began after it.
    """

    __slots__ = ("began", "deadline", "heard", "host", "resolved", "sign")

    def __init__(self, sign: Sign, host: str, began: Seconds, deadline: Seconds) -> None:
        self.sign = sign
        self.host = host
        self.began = began
        self.deadline = deadline
        self.heard = False
        self.resolved = False


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
            if not is_ip_address(host):
                self._name(host).resolved = answered
        self._blind = Cause.SILENCE if blind else None

    def known(self, now: Seconds) -> Iterator[tuple[str, str | None, Seconds]]:
        """Forget hosts that have not answered for a day; give the others with their address and latest answer."""
        for host, name in list(self._names.items()):
            if name.machine.answered > now - DAY:
                yield host, name.address, name.machine.answered
            elif max(name.machine.unreached, name.failed, name.resolved) <= now - DAY:
                del self._names[host]
        self._machines = {name.address: name.machine for name in self._names.values() if name.address is not None}

    def silent(self, host: str) -> bool:
        """Whether the latest exchange with a host did not reach it."""
        name = self._names.get(host)
        return name is not None and (name.machine.silent or (name.failing and name.failed > name.machine.answered))

    def answered(self, host: str, address: str | None, began: Seconds, now: Seconds) -> list[Question]:
        """
        Record an answer of any kind; it may end blindness.

        :param began: when the request began.
        :returns: the questions that it decides: :meth:`blame` those tasks, unless they answer now.
        """
        name = self._record_answer(host, address, now)
        if self._blind is not Cause.RESOLVER:
            self._see_again(now)
        decided = []
        for question in self._questions:
            if began > question.began:
                question.heard = True
                counts = question.sign is not Sign.UNRESOLVED or not self._other_names(question, now)
                if counts and self._name(question.host).machine is not name.machine:
                    decided.append(question)
        return self._decided(decided)

    def resolved(self, host: str, began: Seconds, now: Seconds) -> list[Question]:
        """
        Record that a name was looked up and has an address; it may end blindness.

        :param began: when the request began.
        :returns: as :meth:`answered`.
        """
        name = self._name(host)
        name.resolved = max(name.resolved, now)
        name.failing = name.blamed = False
        if self._blind is Cause.RESOLVER:
            self._see_again(now)
        decided = []
        for question in self._questions:
            if question.sign is Sign.UNRESOLVED and began > question.began:
                question.resolved = True
                if host != question.host:
                    decided.append(question)
        return self._decided(decided)

    def unreached(self, sign: Sign, host: str, now: Seconds) -> None:
        """Record an exchange that did not reach its host."""
        name = self._name(host)
        if sign is Sign.UNRESOLVED:
            name.failed = now
            name.failing = True
        else:
            name.machine.unreached = now
            name.machine.silent = True

    def ask(self, sign: Sign, host: str, began: Seconds, now: Seconds, timeout: Seconds) -> Question | Decision:
        """
        Ask whose fault it is that a check did not reach its host.

        :param began: when its request began.
        :param timeout: the task's.
        :returns: a question to be decided by :meth:`answered`, :meth:`resolved`, :meth:`own_fault` or :meth:`expire`,
            where that is open.
        """
        self.unreached(sign, host, now)
        if self._blind is not None or began < self._sighted:
            # What began while Py Pinger was blind shows nothing, even if it ends later.
            return Decision.OURS
        name = self._name(host)
        if name.blamed if sign is Sign.UNRESOLVED else name.machine.blamed:
            return Decision.THEIRS
        question = Question(sign, host, began, now + timeout + SLACK)
        self._questions.append(question)
        return question

    def to_ask(self, question: Question, now: Seconds) -> list[list[str]]:
        """
        Return the other hosts that count, each with its names, those heard last first; ask :data:`ASKED` of them.

        About a name that is not resolved, other names are asked; without one, other hosts.
        """
        if question.sign is Sign.UNRESOLVED and (names := self._other_names(question, now)):
            return [[host] for host in sorted(names, key=lambda host: self._names[host].resolved, reverse=True)]
        machine = self._name(question.host).machine
        others: dict[_Machine, list[str]] = {}
        # A machine is asked by a name that is resolved, if there is one.
        for host, name in sorted(self._names.items(), key=lambda item: item[1].failing):
            if name.machine is not machine and not name.blamed and self._counts(name.machine, now):
                others.setdefault(name.machine, []).append(host)
        return [others[each] for each in sorted(others, key=lambda each: each.answered, reverse=True)]

    def expire(self, question: Question, now: Seconds, *, waiting: bool = False) -> Decision | None:
        """
        Decide a question whose deadline has passed; if Py Pinger is blind, so are all others.

        :param waiting: whether hosts that were asked have more time to answer.
        :returns: None if the decision depends on these.
        """
        cause = self._cause(question, now)
        if cause is None:
            if waiting:
                return None
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

    def _see_again(self, now: Seconds) -> None:
        if self._blind is not None and now - self._own >= CALM:
            self._blind, self._sighted = None, now

    def _decided(self, questions: list[Question]) -> list[Question]:
        for question in questions:
            self.withdraw(question)
        return questions

    def _other_names(self, question: Question, now: Seconds) -> list[str]:
        """Return the names that could show that the resolver works."""
        return [host for host, name in self._names.items() if host != question.host and name.resolved > now - DAY]

    def _name(self, host: str) -> _Name:
        name = self._names.get(host)
        if name is None:
            name = self._names[host] = _Name()
        return name

    def _record_answer(self, host: str, address: str | None, now: Seconds) -> _Name:
        name = self._name(host)
        if address is not None and address != name.address:
            name.address = address
            name.machine = self._machines.setdefault(address, _Machine())
        machine = name.machine
        machine.answered = max(machine.answered, now)
        machine.silent = machine.blamed = name.blamed = False
        return name

    def _counts(self, machine: _Machine, now: Seconds) -> bool:
        """Whether a host is evidence: it answered within the last day and is not blamed."""
        return machine.answered > now - DAY and not machine.blamed

    def _cause(self, question: Question, now: Seconds) -> Cause | None:
        began = question.began
        if question.sign is Sign.NO_ROUTE and not question.heard:
            return Cause.NO_ROUTE
        names = self._names.values()
        if question.sign is Sign.UNRESOLVED and not question.resolved:
            failed = sum(name.failing and name.failed >= began and name.resolved > now - DAY for name in names)
            if failed >= 2:
                return Cause.RESOLVER
        silent = {
            name.machine
            for name in names
            if not name.blamed and self._is_silent(name, began) and self._counts(name.machine, now)
        }
        return Cause.SILENCE if len(silent) >= 2 and not question.heard else None

    def _is_silent(self, name: _Name, began: Seconds) -> bool:
        """Whether no connection was made since then; without an address for its name, none can be."""
        machine = name.machine
        return (machine.silent and machine.unreached >= began) or (name.failing and name.failed >= began)

    def blame(self, question: Question) -> None:
        """Record that a host is to blame: it is no evidence until it answers again."""
        self.withdraw(question)
        name = self._name(question.host)
        if question.sign is Sign.UNRESOLVED:
            name.blamed = True
        else:
            name.machine.blamed = True
