"""Whose fault a check without an answer is: cases, and the rules against a brute-force reading of the contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.blindness import Attribution, Cause, Decision, Question
from pypinger.domain.model import Answer, Contact, Fault, NoAnswer, Seconds
from pypinger.domain.signs import Sign, sign_of
from pypinger.domain.times import DAY


class SignTests(SynchronousTestCase):
    def test_table(self) -> None:
        mute, reached = Contact("h", None, silent=True), Contact("h", "10.0.0.1")
        for observation, sign in (
            (Answer(200, b"", 0.1), Sign.ANSWERED),
            (Answer(502, b"", 0.1, contact=reached), Sign.ANSWERED),
            (Answer(502, b"", 0.1, contact=mute), Sign.SILENT),
            (NoAnswer(Fault.REFUSED, "", 0.1, reached), Sign.ANSWERED),
            (NoAnswer(Fault.RESET, "", 0.1), Sign.ANSWERED),
            (NoAnswer(Fault.TLS, "", 0.1, reached), Sign.ANSWERED),
            (NoAnswer(Fault.TLS, "", 0.1), Sign.NONE),
            (NoAnswer(Fault.BROKEN, "", 0.1), Sign.NONE),
            (NoAnswer(Fault.TIMEOUT, "", 0.1, mute), Sign.SILENT),
            (NoAnswer(Fault.TIMEOUT, "", 0.1, reached), Sign.ANSWERED),
            (NoAnswer(Fault.CONNECT, "", 0.1, mute), Sign.SILENT),
            (NoAnswer(Fault.REFUSED, "", 0.1, mute), Sign.SILENT),
            (NoAnswer(Fault.TIMEOUT, "", 0.1), Sign.SILENT),
            (NoAnswer(Fault.DNS, "", 0.1, mute), Sign.UNRESOLVED),
            (NoAnswer(Fault.TIMEOUT, "", 0.1, Contact("h", silent=True, resolved=False)), Sign.UNRESOLVED),
            (NoAnswer(Fault.TIMEOUT, "", 0.1, Contact("h", silent=True, resolved=True)), Sign.SILENT),
            (NoAnswer(Fault.NO_ROUTE, "", 0.1, mute), Sign.NO_ROUTE),
            (NoAnswer(Fault.OWN, "", 0.1, mute), Sign.OWN),
            (NoAnswer(Fault.URL, "", 0.1), Sign.NONE),
            (NoAnswer(Fault.TOKEN, "", 0.1), Sign.NONE),
            (NoAnswer(Fault.TOKEN, "", 0.1, mute), Sign.SILENT),
        ):
            self.assertIs(sign_of(observation), sign, observation)


class MemoryTests(SynchronousTestCase):
    def test_hosts_that_have_not_answered_for_a_day_are_forgotten(self) -> None:
        made = Attribution()
        made.answered("a", "10.0.0.1", 0, 1)
        made.answered("b", None, 0, 100)
        self.assertEqual(list(made.known(200)), [("a", "10.0.0.1", 1), ("b", None, 100)])
        self.assertEqual(list(made.known(DAY + 50)), [("b", None, 100)])
        self.assertEqual(list(made.known(2 * DAY)), [])
        question = made.ask(Sign.SILENT, "c", 2 * DAY, 2 * DAY, 10)
        assert isinstance(question, Question)
        self.assertEqual(made.to_ask(question, 2 * DAY), [])

    def test_hosts_heard_last_are_asked_first_and_names_of_one_address_once(self) -> None:
        made = Attribution()
        made.restore(
            {"a": ("10.0.0.1", -50), "b": ("10.0.0.2", -10), "c": ("10.0.0.1", -20), "d": (None, -30)}, blind=False
        )
        question = made.ask(Sign.SILENT, "x", 0, 5, 10)
        assert isinstance(question, Question)
        self.assertEqual(made.to_ask(question, 5), [["b"], ["a", "c"], ["d"]])

    def test_other_names_are_asked_about_a_name_and_a_resolved_name_of_a_host(self) -> None:
        made = Attribution()
        made.restore({"a": ("10.0.0.1", -50), "b": ("10.0.0.1", -10), "10.0.0.2": ("10.0.0.2", -20)}, blind=False)
        made.unreached(Sign.UNRESOLVED, "a", -1)
        question = made.ask(Sign.UNRESOLVED, "b", 0, 5, 10)
        assert isinstance(question, Question)
        self.assertEqual(made.to_ask(question, 5), [["a"]])
        made.resolved("b", 6, 7)
        question = made.ask(Sign.SILENT, "10.0.0.2", 8, 9, 10)
        assert isinstance(question, Question)
        self.assertEqual(made.to_ask(question, 9), [["b", "a"]])

    def test_a_decision_waits_for_hosts_that_may_still_answer(self) -> None:
        made = Attribution()
        made.restore({"a": (None, -50), "b": (None, -10)}, blind=False)
        question = made.ask(Sign.SILENT, "a", 0, 1, 1)
        assert isinstance(question, Question)
        self.assertIsNone(made.expire(question, 7, waiting=True))
        made.unreached(Sign.SILENT, "b", 21)
        self.assertIs(made.expire(question, 26), Decision.OURS)

    def test_a_request_that_began_before_the_question_decides_nothing(self) -> None:
        made = Attribution()
        made.restore({"a": (None, -50)}, blind=False)
        question = made.ask(Sign.SILENT, "x", 2, 5, 10)
        self.assertEqual(made.answered("a", None, 1, 6), [])
        self.assertEqual(made.answered("a", None, 6, 7), [question])

    def test_blindness_of_before_ends_with_the_first_answer(self) -> None:
        made = Attribution()
        made.restore({}, blind=True)
        self.assertIs(made.ask(Sign.SILENT, "a", 0, 5, 10), Decision.OURS)
        made.answered("b", None, 5, 6)
        self.assertIsNone(made.blind)


class Event(NamedTuple):
    """
    An exchange: with whom, when, and what it showed; `machine` is the host by the rule of addresses.

    A sign of None is a look-up that gave an address.
    """

    sign: Sign | None
    host: str
    machine: str
    began: Seconds
    ended: Seconds


class Asked(NamedTuple):
    """An open question in the model."""

    sign: Sign
    host: str
    machine: str
    began: Seconds
    asked: int
    deadline: Seconds


class Model:
    """The contract, read from the log of all events each time."""

    def __init__(self) -> None:
        self.log: list[Event] = []
        self.address: dict[str, str] = {}
        self.open: list[Asked] = []
        self.blamed_at: list[tuple[Asked, int]] = []
        self.blind: Cause | None = None
        self.own: Seconds = -1e9
        self.sighted: Seconds = -1e9

    def machine(self, host: str) -> str:
        return self.address.get(host, host)

    def add(self, sign: Sign | None, host: str, began: Seconds, now: Seconds) -> None:
        self.log.append(Event(sign, host, self.machine(host), began, now))

    def answered_within_a_day(self, machine: str, now: Seconds) -> bool:
        return any(e.sign is Sign.ANSWERED and e.machine == machine and e.ended > now - DAY for e in self.log)

    def blamed_for_silence(self, machine: str) -> bool:
        """Whether it was blamed, and has not answered since."""
        return any(
            q.sign is not Sign.UNRESOLVED
            and q.machine == machine
            and not any(e.sign is Sign.ANSWERED and e.machine == machine for e in self.log[index:])
            for q, index in self.blamed_at
        )

    def blamed_name(self, host: str) -> bool:
        """Whether it was blamed because it is not resolved, and has neither been resolved nor answered since."""
        return any(
            q.sign is Sign.UNRESOLVED
            and q.host == host
            and not any(e.host == host and e.sign in (None, Sign.ANSWERED) for e in self.log[index:])
            for q, index in self.blamed_at
        )

    def evidence_of_silence(self, host: str, began: Seconds, now: Seconds) -> bool:
        """Whether the latest exchange with its host, or the latest look-up of it, failed after `began`."""
        machine = self.machine(host)
        with_host = [e for e in self.log if e.machine == machine and e.sign not in (None, Sign.UNRESOLVED)]
        silent = bool(with_host) and with_host[-1].sign is not Sign.ANSWERED and with_host[-1].ended >= began
        counts = self.answered_within_a_day(machine, now) and not self.blamed_for_silence(machine)
        return counts and not self.blamed_name(host) and (silent or self.fails(host, began))

    def fails(self, host: str, began: Seconds) -> bool:
        look_ups = [e for e in self.log if e.host == host and e.sign in (None, Sign.UNRESOLVED)]
        return bool(look_ups) and look_ups[-1].sign is Sign.UNRESOLVED and look_ups[-1].ended >= began

    def resolved_within_a_day(self, now: Seconds) -> set[str]:
        return {e.host for e in self.log if e.sign is None and e.ended > now - DAY}

    def answer(self, host: str, address: str | None, began: Seconds, now: Seconds) -> list[Asked]:
        if address is not None:
            self.address[host] = address
        self.add(Sign.ANSWERED, host, began, now)
        if self.blind is not Cause.RESOLVER:
            self.see_again(now)
        return self.decide(
            q
            for q in self.open
            if began > q.began
            and self.machine(host) != self.machine(q.host)
            and not (q.sign is Sign.UNRESOLVED and self.resolved_within_a_day(now) - {q.host})
        )

    def resolve(self, host: str, began: Seconds, now: Seconds) -> list[Asked]:
        self.add(None, host, began, now)
        if self.blind is Cause.RESOLVER:
            self.see_again(now)
        return self.decide(q for q in self.open if q.sign is Sign.UNRESOLVED and began > q.began and host != q.host)

    def see_again(self, now: Seconds) -> None:
        if self.blind and now - self.own >= 10:
            self.blind, self.sighted = None, now

    def decide(self, questions: Iterable[Asked]) -> list[Asked]:
        blamed = list(questions)
        for q in blamed:
            self.blame(q)
        return blamed

    def blame(self, question: Asked) -> None:
        self.open.remove(question)
        self.blamed_at.append((question._replace(machine=self.machine(question.host)), len(self.log)))

    def ask(self, sign: Sign, host: str, began: Seconds, now: Seconds, timeout: Seconds) -> Asked | Decision:
        self.add(sign, host, began, now)
        if self.blind is not None or began < self.sighted:
            return Decision.OURS
        if self.blamed_name(host) if sign is Sign.UNRESOLVED else self.blamed_for_silence(self.machine(host)):
            return Decision.THEIRS
        question = Asked(sign, host, self.machine(host), began, len(self.log), now + timeout + 5)
        self.open.append(question)
        return question

    def expire(self, question: Asked, now: Seconds) -> Decision:
        # Since it was asked, what has a request that began after the silent one shown?
        since = [e for e in self.log[question.asked :] if e.began > question.began]
        heard = any(e.sign is Sign.ANSWERED for e in since)
        resolved = any(e.sign is None for e in since)
        hosts = {e.host for e in self.log}
        silent = {self.machine(h) for h in hosts if self.evidence_of_silence(h, question.began, now)}
        unresolved = [h for h in self.resolved_within_a_day(now) if self.fails(h, question.began)]
        if question.sign is Sign.NO_ROUTE and not heard:
            self.blind = Cause.NO_ROUTE
        elif question.sign is Sign.UNRESOLVED and not resolved and len(unresolved) >= 2:
            self.blind = Cause.RESOLVER
        elif len(silent) >= 2 and not heard:
            self.blind = Cause.SILENCE
        else:
            self.blame(question)
            return Decision.THEIRS
        self.open.clear()
        return Decision.OURS

    def own_fault(self, now: Seconds) -> None:
        self.own = now
        self.blind = self.blind or Cause.OWN
        self.open.clear()


HOSTS = st.sampled_from(["a", "b", "c", "d", "10.0.0.9"])
SIGNS = st.sampled_from([Sign.SILENT, Sign.SILENT, Sign.UNRESOLVED, Sign.NO_ROUTE])
MOVES = st.one_of(
    st.tuples(st.just("answer"), HOSTS, st.sampled_from([None, "10.0.0.1", "10.0.0.2"]), st.floats(0.1, 40)),
    st.tuples(st.just("resolve"), HOSTS, st.none(), st.floats(0.1, 40)),
    st.tuples(st.just("probe"), HOSTS, SIGNS, st.just(0.0)),
    st.tuples(st.just("ask"), HOSTS, SIGNS, st.floats(0.1, 20)),
    st.tuples(st.just("ask"), HOSTS, SIGNS, st.floats(0.1, 20)),
    st.tuples(st.just("own"), HOSTS, st.none(), st.just(0.0)),
)


class PropertyTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.tuples(st.sampled_from([0.01, 0.3, 4.0, 11.0, 30.0, 50_000.0]), MOVES), max_size=60))
    def test_the_contract(self, moves: list[tuple[float, tuple[str, str, object, float]]]) -> None:
        made, model = Attribution(), Model()
        pairs: list[tuple[Question, Asked]] = []
        now = 0.0

        def advance(end: float) -> None:
            """Let questions expire in their order."""
            while due := min(
                (pair for pair in pairs if pair[1].deadline <= end), key=lambda p: p[1].deadline, default=None
            ):
                self.assertIs(made.expire(due[0], due[1].deadline), model.expire(due[1], due[1].deadline))
                sync()

        def sync() -> None:
            """Drop pairs that the model has decided."""
            pairs[:] = [pair for pair in pairs if any(pair[1] is each for each in model.open)]

        for gap, (what, host, detail, length) in moves:
            advance(now + gap)
            now += gap
            if what == "answer":
                assert detail is None or isinstance(detail, str)
                decided = made.answered(host, detail, now - length, now)
                for question in decided:
                    made.blame(question)
                expected = model.answer(host, detail, now - length, now)
                by_question = dict(pairs)
                self.assertEqual([by_question[each] for each in decided], expected)
            elif what == "resolve":
                decided = made.resolved(host, now - length, now)
                for question in decided:
                    made.blame(question)
                expected = model.resolve(host, now - length, now)
                by_question = dict(pairs)
                self.assertEqual([by_question[each] for each in decided], expected)
            elif what == "probe":
                assert isinstance(detail, Sign)
                made.unreached(detail, host, now)
                model.add(detail, host, now, now)
            elif what == "own":
                made.own_fault(now)
                model.own_fault(now)
            else:
                assert isinstance(detail, Sign)
                result = made.ask(detail, host, now - length, now, 20)
                expected_result = model.ask(detail, host, now - length, now, 20)
                if isinstance(result, Question):
                    assert isinstance(expected_result, Asked)
                    pairs.append((result, expected_result))
                else:
                    self.assertIs(result, expected_result)
            sync()
            self.assertIs(made.blind, model.blind)
        advance(now + 100)
        self.assertIs(made.blind, model.blind)
