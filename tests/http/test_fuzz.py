"""Any bytes, in any pieces: the check ends with an observation and leaves no socket and no timer."""

from __future__ import annotations

from itertools import accumulate, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Answer, NoAnswer, Task
from tests.http.faults import BOMB, CASES, answer, chunked
from tests.http.memory import Bench

TASK = Task(url="http://127.0.0.1/report", id="id", name="name", label="label", timeout=20.0)

ANSWERS = [
    b"".join(step for step in case.script if isinstance(step, bytes))
    for case in CASES
    if case.script and not any(BOMB[:99] in step for step in case.script if isinstance(step, bytes))
]
ANSWERS = [raw for raw in ANSWERS if 0 < len(raw) < 5000]


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """Return an answer, valid or not, with some of its bytes changed, removed or repeated."""
    raw = bytearray(draw(st.sampled_from(ANSWERS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(raw) - 1, 0)))
        match draw(st.integers(0, 3)):
            case 0:
                raw[at : at + 1] = draw(st.binary(min_size=0, max_size=4))
            case 1:
                del raw[at : at + draw(st.integers(1, 20))]
            case 2:
                raw[at:at] = raw[at : at + draw(st.integers(1, 200))]
            case _:
                raw[at:at] = draw(st.sampled_from([b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"\0"]))
    return bytes(raw)


streams = st.one_of(hostile(), st.binary(max_size=300), st.builds(answer, st.binary(max_size=99)))
cuts = st.lists(st.integers(1, 400), max_size=12)
endings = st.sampled_from(["close", "reset", "stall", "cancel"])
delays = st.lists(st.floats(0, 7), min_size=12, max_size=12)


class Fuzz(SynchronousTestCase):
    """In memory, with a fake clock."""

    @settings(deadline=None, max_examples=600)
    @given(streams, cuts, delays, endings)
    def test_stream(self, raw: bytes, cuts: list[int], delays: list[float], ending: str) -> None:
        """After a redirect to another origin, the remaining pieces arrive on the new connection."""
        bench = Bench()
        running = bench.fetch(TASK)
        wire = bench.connect()
        made = 1
        edges = [0, *accumulate(cuts), len(raw)]
        for (start, end), delay in zip(pairwise(edges), delays, strict=False):
            wire.arrives(raw[start:end])
            bench.reactor.advance(delay)
            if len(bench.reactor.tcpClients) > made and not running.called:
                made += 1
                wire = bench.connect()
        if ending == "cancel":
            running.cancel()
            running.addErrback(lambda failure: failure.trap(CancelledError) and None)
        elif ending != "stall":
            wire.ends(clean=ending == "close")
        bench.reactor.advance(TASK.timeout)
        self.assertIsInstance(self.successResultOf(running), (Answer, NoAnswer, type(None)))
        bench.reactor.advance(0)
        self.assertEqual(bench.pool.idle, len(bench.pool))
        bench.close()

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.binary(max_size=99), min_size=1, max_size=9), st.lists(st.binary(max_size=50), max_size=3))
    def test_kept(self, bodies: list[bytes], chunks: list[bytes]) -> None:
        """Valid answers, cut anywhere, arrive whole and in order over one kept connection."""
        bench = Bench()
        wire = None
        for body in bodies:
            running = bench.fetch(TASK)
            wire = wire or bench.connect()
            self.assertIn(b"GET /report HTTP/1.1\r\nHost: 127.0.0.1\r\n", wire.asked())
            given = [chunk for chunk in chunks if chunk]
            raw = answer(body) if not given else chunked(*given)
            for at in range(0, len(raw), 7):
                wire.arrives(raw[at : at + 7])
            self.assertEqual(
                (200, body if not given else b"".join(given)), _code_and_body(self.successResultOf(running))
            )
        self.assertEqual(1, len(bench.reactor.tcpClients))
        bench.close()


def _code_and_body(found: object) -> tuple[int, bytes]:
    assert isinstance(found, Answer), found
    return found.code, found.body
