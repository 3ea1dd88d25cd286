"""
Finds out whose fault it is that a check got no answer (contract, section 3, "Whose fault").

:mod:`pypinger.domain.blindness` has the rules. This module asks other hosts, and remembers over restarts which hosts
answered.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.domain.blindness import ASKED, SLACK, Attribution, Cause, Decision, Question
from pypinger.domain.model import Contact, NoAnswer, Observation, Seconds, Task
from pypinger.domain.signs import Sign, sign_of
from pypinger.ports.clock import WallClock
from pypinger.ports.storing import HostSeen, Store
from pypinger.runtime.condition import Condition
from pypinger.runtime.fetches import CheckSettings, Fetches
from pypinger.runtime.hosts import Hosts

#: Interval in seconds at which the hosts that answered are stored.
REMEMBERING: Seconds = 30.0

#: Age in seconds of a stored answer from which a newer one replaces it; answers count for a day.
STALE: Seconds = 600.0

#: How many hosts are asked at once while blind.
LOOKS = 4

#: How long a silent task still has once another host answers: after a cut of our own network both do.
PATIENCE: Seconds = 2.0
_WORDS = {
    Cause.OWN: "{}",
    Cause.NO_ROUTE: "{}, and no other host answers",
    Cause.RESOLVER: "no host name can be resolved, for example: {}",
    Cause.SILENCE: "no host answers, for example: {}",
}


class _Held:
    """
    A check without an answer, held until its question is decided.

    :ivar alone: whether there is no other host to ask, so that the second request of the task decides.
    :ivar decided: fires with the observation to judge, or with None.
    """

    __slots__ = ("alone", "decided", "observation", "task")

    def __init__(self, task: Task, observation: Observation, *, alone: bool) -> None:
        self.task = task
        self.alone = alone
        self.observation = observation
        self.decided: Deferred[Observation | None] = Deferred()


class Blindness:
    """
    Decides which observations are judged.

    :ivar fetches: makes the fetches of checks, and those that ask whose fault it is.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        store: Store,
        condition: Condition,
        settings: CheckSettings,
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._store = store
        self._condition = condition
        self.fetches = Fetches(reactor, settings, self._is_silent)
        self._attribution = Attribution()
        self._hosts = Hosts()
        condition.count_with(lambda: len(self._hosts))
        self._seen_again: Callable[[], None] = lambda: None
        self._blamed: set[str] = set()
        self._held: dict[Question, _Held] = {}
        self._asking: dict[str, Seconds] = {}
        self._running: set[Deferred[None]] = set()
        self._stored: dict[str, HostSeen] = {}
        self._remembering = LoopingCall(self._try_to_remember)
        self._remembering.clock = reactor

    def update(self, tasks: Sequence[Task]) -> None:
        """Set the tasks that are checked."""
        self._hosts.update(tasks)
        self._blamed &= {task.id for task in tasks}

    def resume(self, hosts: Mapping[str, HostSeen]) -> None:
        """Take up the hosts that answered within a day, and blindness that has not ended."""
        self._stored = dict(hosts)
        now, offset = self._now(), self._now() - self._reactor.seconds()
        known = {host: (seen.address, min(seen.at, now) - offset) for host, seen in hosts.items()}
        self._attribution.restore(known, blind=self._condition.blind)

    def start(self, seen_again: Callable[[], None]) -> None:
        """
        Begin to store hosts, and announce blindness that has lasted to channels that are new.

        :param seen_again: called when blindness is over.
        """
        self._seen_again = seen_again
        self._condition.greet()
        self._remembering.start(REMEMBERING, now=False)

    def stop(self) -> None:
        """Drop held checks, and store what the next process needs."""
        self.fetches.stop()
        self._drop_held()
        for running in list(self._running):
            running.cancel()
        if self._remembering.running:
            self._remembering.stop()
            self._remember()

    def look(self) -> None:
        """Ask some hosts while blind: without a task of its own, an instance makes no check that would answer."""
        for task in self._hosts.some(LOOKS) if self._condition.blind else ():
            self._run(self._probe(task, self._reactor.seconds()))

    async def attribute(self, task: Task, began: Seconds, observation: Observation) -> Observation | None:
        """
        Find out whose fault it is if a check got no answer.

        This takes at most 5 s more than the longest timeout of the task and of those whose hosts are asked.

        :param began: when the request began, on the reactor's clock.
        :returns: the observation to judge, which may be that of a second request; None if Py Pinger is blind.
        """
        sign, contact = sign_of(observation), self._hosts.contact(task, observation)
        self._on_the_way(contact, began)
        if sign is Sign.ANSWERED:
            self._answered(task, contact, began)
            return observation
        if sign is Sign.NONE:
            return None if self._condition.blind else observation
        if sign is Sign.OWN:
            self._own_fault(observation)
            return None
        now = self._reactor.seconds()
        if not self._condition.blind and task.id in self._blamed:
            self._attribution.unreached(sign, contact.host, now)
            return observation
        question = self._attribution.ask(sign, contact.host, began, now, task.timeout)
        if isinstance(question, Question):
            others = self._others(question)
            return await self._hold(question, _Held(task, observation, alone=not others), others)
        if question is Decision.OURS:
            return None
        self._blamed.add(task.id)
        return observation

    async def _hold(self, question: Question, held: _Held, others: Sequence[Task]) -> Observation | None:
        """Ask the task once more, and other hosts, until the question is decided."""
        self._held[question] = held
        now, longest = self._reactor.seconds(), max((task.timeout for task in others), default=0.0)
        last = max(question.deadline, now + longest + SLACK)
        deadlines = [self._reactor.callLater(last - now, self._expire, question)]
        if question.deadline < last:
            early = self._reactor.callLater(question.deadline - now, self._expire, question, waiting=True)
            deadlines.append(early)
        again = self._run(self._ask_again(question, held))
        self._ask(question, others)
        try:
            return await held.decided
        finally:
            self._held.pop(question, None)
            self._attribution.withdraw(question)
            again.cancel()
            for deadline in deadlines:
                if deadline.active():
                    deadline.cancel()

    async def _ask_again(self, question: Question, held: _Held) -> None:
        observation, began = await self.fetches.beside(held.task, lambda: question in self._held)
        if sign_of(observation) is Sign.ANSWERED:
            # The task answers now, so its own question is settled, whatever its answer decides for others.
            self._attribution.withdraw(question)
            self._note(held.task, observation, began)
            self._decide(question, observation)
            return
        self._note(held.task, observation, began)
        if held.alone and question.sign is not Sign.NO_ROUTE and question in self._held:
            # The deadline could not change the decision.
            self._expire(question)

    async def _ask_last(self, question: Question, held: _Held) -> None:
        late = self._reactor.callLater(PATIENCE, self._blame, question)
        try:
            await self._ask_again(question, held)
        finally:
            if late.active():
                late.cancel()
                self._blame(question)

    def _others(self, question: Question) -> list[Task]:
        """A task of each other host to ask."""
        names = self._attribution.to_ask(question, self._reactor.seconds())
        tasks = (self._hosts.task(each) for each in names)
        return list(islice((task for task in tasks if task is not None), ASKED))

    def _ask(self, question: Question, others: Iterable[Task]) -> None:
        now = self._reactor.seconds()
        for task in others:
            if question not in self._held:
                return
            if question.sign is Sign.UNRESOLVED:
                self._run(self._look_up(task, now))
                continue
            # A request that is under way will do if it began after the silent one.
            if self._asking.get(task.id, question.began) <= question.began:
                self._asking[task.id] = now
                self._run(self._probe(task, now))

    async def _look_up(self, task: Task, asked: Seconds) -> None:
        """Look up the name of a task's host; ask a host without a name for a sign."""
        contact = await self.fetches.look_up(task)
        if contact is None:
            await self._probe(task, asked)
        elif contact.resolved:
            self._look_up_noted(contact, asked)
        elif contact.resolved is False:
            self._attribution.unreached(Sign.UNRESOLVED, contact.host, self._reactor.seconds())

    async def _probe(self, task: Task, asked: Seconds) -> None:
        """Ask a task's host for a sign; the answer is not judged."""
        try:
            observation, began = await self.fetches.beside(task, lambda: bool(self._held) or self._condition.blind)
        finally:
            if self._asking.get(task.id) == asked:
                del self._asking[task.id]
        self._note(task, observation, began)

    def _note(self, task: Task, observation: Observation, began: Seconds) -> None:
        """Take note of what an extra fetch shows."""
        sign, contact = sign_of(observation), self._hosts.contact(task, observation)
        self._on_the_way(contact, began)
        if sign is Sign.ANSWERED:
            self._answered(task, contact, began)
        elif sign is Sign.OWN:
            self._own_fault(observation)
        elif sign is not Sign.NONE:
            self._attribution.unreached(sign, contact.host, self._reactor.seconds())

    def _answered(self, task: Task, contact: Contact, began: Seconds) -> None:
        self._blamed.discard(task.id)
        self._decided(self._attribution.answered(contact.host, contact.address, began, self._reactor.seconds()))

    def _on_the_way(self, contact: Contact, began: Seconds) -> None:
        """Take note of a look-up, and of the hosts that answered with redirects."""
        for each in contact.before:
            self._look_up_noted(each, began)
            self._decided(self._attribution.answered(each.host, each.address, began, self._reactor.seconds()))
        self._look_up_noted(contact, began)

    def _look_up_noted(self, contact: Contact, began: Seconds) -> None:
        if contact.resolved:
            self._decided(self._attribution.resolved(contact.host, began, self._reactor.seconds()))

    def _decided(self, questions: Sequence[Question]) -> None:
        if self._condition.blind and self._attribution.blind is None:
            self._condition.see_again()
            self._seen_again()
        if questions:
            for question in self._held.keys() & set(questions):
                self._run(self._ask_last(question, self._held[question]))

    def _blame(self, question: Question) -> None:
        held = self._held.get(question)
        if held is not None:
            self._attribution.blame(question)
            self._blamed.add(held.task.id)
            self._decide(question, held.observation)

    def _expire(self, question: Question, *, waiting: bool = False) -> None:
        decision = self._attribution.expire(question, self._reactor.seconds(), waiting=waiting)
        if decision is Decision.THEIRS:
            self._blame(question)
        elif decision is Decision.OURS:
            self._go_blind(self._held[question].observation)

    def _own_fault(self, observation: Observation) -> None:
        self._attribution.own_fault(self._reactor.seconds())
        self._go_blind(observation)

    def _decide(self, question: Question, observation: Observation | None) -> None:
        held = self._held.pop(question, None)
        if held is not None and not held.decided.called:
            held.decided.callback(observation)

    def _drop_held(self) -> None:
        for question in list(self._held):
            self._decide(question, None)

    def _go_blind(self, observation: Observation) -> None:
        example = observation.words if isinstance(observation, NoAnswer) else "no answer"
        self._condition.go_blind(_WORDS[self._attribution.blind or Cause.OWN].format(example))
        self._drop_held()

    def _try_to_remember(self) -> None:
        try:
            self._remember()
        except Exception:
            self._log.failure("storing the hosts that answered")

    def _remember(self) -> None:
        """Store the hosts that answered, at most once in :data:`STALE` seconds each unless their address changed."""
        offset = self._now() - self._reactor.seconds()
        known = {
            host: HostSeen(address, answered + offset)
            for host, address, answered in self._attribution.known(self._reactor.seconds())
        }
        fresh = {
            host: seen
            for host, seen in known.items()
            if (old := self._stored.get(host)) is None or old.address != seen.address or seen.at - old.at > STALE
        }
        self._stored = {host: self._stored.get(host, seen) for host, seen in known.items()} | fresh
        if fresh:
            self._store.hosts(fresh)

    def _is_silent(self, task: Task) -> bool:
        return self._attribution.silent(self._hosts.of(task))

    def _run(self, work: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
        running = Deferred.fromCoroutine(work)
        self._running.add(running)
        running.addErrback(self._failed)
        running.addBoth(lambda _: self._running.discard(running))
        return running

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("asking other hosts", failure)
