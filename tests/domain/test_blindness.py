"""Whose fault a check without an answer is: cases, and the rules against a brute-force reading of the contract."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.blindness import Attribution, Cause, Decision, Question, Sign, sign_of
from pypinger.domain.model import Answer, Contact, Fault, NoAnswer, Seconds
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

    def test_blindness_of_before_ends_with_the_first_answer(self) -> None:
        made = Attribution()
        made.restore({}, blind=True)
        self.assertIs(made.ask(Sign.SILENT, "a", 0, 5, 10), Decision.OURS)
        made.answered("b", None, 5, 6)
        self.assertIsNone(made.blind)


class Event(NamedTuple):
    """An exchange: with whom, when, and what it showed; `machine` is the host by the rule of addresses."""

    sign: Sign
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
        self.blamed_at: list[tuple[str, int]] = []
        self.blind: Cause | None = None
        self.own: Seconds = -1e9
        self.sighted: Seconds = -1e9

    def machine(self, host: str) -> str:
        return self.address.get(host, host)

    def add(self, sign: Sign, host: str, began: Seconds, now: Seconds) -> None:
        self.log.append(Event(sign, host, self.machine(host), began, now))

    def answered_within_a_day(self, machine: str, now: Seconds) -> bool:
        return any(e.sign is Sign.ANSWERED and e.machine == machine and e.ended > now - DAY for e in self.log)

    def blamed(self, machine: str) -> bool:
        """Whether it was blamed, and has not answered since."""
        return any(
            blamed == machine and not any(e.sign is Sign.ANSWERED and e.machine == machine for e in self.log[index:])
            for blamed, index in self.blamed_at
        )

    def counts(self, machine: str, now: Seconds) -> bool:
        return self.answered_within_a_day(machine, now) and not self.blamed(machine)

    def silent_since(self, machine: str, began: Seconds) -> bool:
        """Whether its latest exchange did not reach it, and ended after `began`."""
        mine = [e for e in self.log if e.machine == machine]
        return bool(mine) and mine[-1].sign is not Sign.ANSWERED and mine[-1].ended >= began

    def answer(self, host: str, address: str | None, began: Seconds, now: Seconds) -> list[Asked]:
        if address is not None:
            self.address[host] = address
        self.add(Sign.ANSWERED, host, began, now)
        if self.blind and now - self.own >= 10 and not (self.blind is Cause.RESOLVER and host[0].isdigit()):
            self.blind, self.sighted = None, now
        blamed = [
            q
            for q in self.open
            if began > q.began
            and self.machine(host) != self.machine(q.host)
            and not (q.sign is Sign.UNRESOLVED and host[0].isdigit() and self.other_names(q, now))
        ]
        for q in blamed:
            self.blame(q)
        return blamed

    def other_names(self, question: Asked, now: Seconds) -> bool:
        """Whether other names have been resolved within a day."""
        names = {e.host for e in self.log if e.sign is Sign.ANSWERED and e.ended > now - DAY}
        return any(not name[0].isdigit() and name != question.host for name in names)

    def blame(self, question: Asked) -> None:
        self.open.remove(question)
        self.blamed_at.append((self.machine(question.host), len(self.log)))

    def ask(self, sign: Sign, host: str, began: Seconds, now: Seconds, timeout: Seconds) -> Asked | Decision:
        self.add(sign, host, began, now)
        if self.blind is not None or began < self.sighted:
            return Decision.OURS
        if self.blamed(self.machine(host)):
            return Decision.THEIRS
        question = Asked(sign, host, self.machine(host), began, len(self.log), now + timeout + 5)
        self.open.append(question)
        return question

    def expire(self, question: Asked, now: Seconds) -> Decision:
        # Since it was asked, has anybody answered a request that began after the silent one?
        heard = any(e.sign is Sign.ANSWERED and e.began > question.began for e in self.log[question.asked :])
        machines = {self.machine(host) for host in {e.host for e in self.log}}
        silent = [m for m in machines if self.silent_since(m, question.began) and self.counts(m, now)]
        unresolved = []
        for name in {e.host for e in self.log}:
            mine = [e for e in self.log if e.host == name]
            resolved = [e for e in mine if e.sign is Sign.ANSWERED and e.ended > now - DAY]
            failures = [e for e in mine if e.sign is Sign.UNRESOLVED and e.ended >= question.began]
            if resolved and failures and mine.index(failures[-1]) > mine.index(resolved[-1]):
                unresolved.append(name)
        if question.sign is Sign.NO_ROUTE and not heard:
            self.blind = Cause.NO_ROUTE
        elif len(silent) >= 2 and not heard:
            self.blind = Cause.SILENCE
        elif question.sign is Sign.UNRESOLVED and len(unresolved) >= 2:
            self.blind = Cause.RESOLVER
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
    st.tuples(st.just("probe"), HOSTS, SIGNS, st.just(0.0)),
    st.tuples(st.just("ask"), HOSTS, SIGNS, st.floats(0.1, 20)),
    st.tuples(st.just("ask"), HOSTS, SIGNS, st.floats(0.1, 20)),
    st.tuples(st.just("own"), HOSTS, st.none(), st.just(0.0)),
)


class PropertyTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=400)
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
