"""
A process that serves every fault of the table, each on a port of its own.

As a separate process it does not slow down the test, which serves the healthy tasks and measures.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from twisted.internet import reactor

from pypinger.domain.model import Fault
from tests.acceptance.process import Process, until
from tests.http.faults import BOMB, CASES, GZIP, LIMIT, REPORT, Case, answer, bare, chunk_of
from tests.http.faultserver import AT_ONCE, CLOSE, STALL, FaultServer, Flood, Script, full_backlog

#: The possible kinds of a task with the table's report, whose date is fixed.
REPORTED = ("ok", "late", "future")

COMMAND = (sys.executable, "-c", "from tests.acceptance.faultfleet import serve; serve()")


class Expected(NamedTuple):
    """
    The expected verdict on a fault.

    :ivar kinds: the kinds that the verdict may have.
    :ivar words: part of its explanation.
    :ivar hangs: whether the check ends by its timeout.
    """

    name: str
    url: str
    kinds: Sequence[str]
    words: str
    hangs: bool

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port


def judged(case: Case) -> tuple[Sequence[str], str]:
    """The expected kinds and words for a case of the table."""
    good = 200 <= case.code < 300
    if case.fault is not None:
        return ("unreachable",), case.words
    if case.body == REPORT:
        return (REPORTED, "10 min") if good else (("failed",), f"HTTP {case.code} although the report says ok")
    if case.code == 200:
        return ("invalid",), "not a valid report: "
    return (("invalid",) if good else ("unreachable",)), f"HTTP {case.code}"


def serve() -> None:
    """Listen, write one line of JSON with the URLs and the expected verdicts, and serve until killed."""
    # Importing these makes certificates, which only this process needs.
    from tests.http.test_tls import CA, DAY, GOOD, NOW, OTHER_CA, Server, self_signed

    def listen(name: str, kinds: Sequence[str], words: str, script: Script, tls: Any = None, scheme: str = "") -> None:
        server = FaultServer(script)
        server.listen(tls)
        scheme = scheme or ("http" if tls is None else "https")
        host = "127.0.0.1" if scheme == "http" else "localhost"
        hangs = words.startswith("still") or name in timeouts
        fleet.append(Expected(name, f"{scheme}://{host}:{server.port}/{len(fleet)}", kinds, words, hangs))

    fleet: list[Expected] = []
    timeouts = {case.name for case in CASES if case.fault is Fault.TIMEOUT}
    for case in CASES:
        listen(case.name, *judged(case), case.script)
    for name, script in _large():
        listen(name, ("unreachable",), "larger than", script)
    old = datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 3)
    for name, words, tls, steps in (
        ("an expired certificate", "expired on 2020-01-03", CA.issue_cert("localhost", not_after=old[1]), ()),
        (
            "a certificate of the future",
            "is not valid before",
            CA.issue_cert("localhost", not_before=NOW + 9 * DAY, not_after=NOW + 99 * DAY),
            (),
        ),
        ("another's certificate", "for a.example, not for localhost", CA.issue_cert("a.example"), ()),
        ("an unknown authority", "unknown authority (Evil)", OTHER_CA.issue_cert("localhost"), ()),
        ("no certificate", "the TLS handshake failed", None, ()),
        ("a body cut off in TLS", "after 3 of 9 bytes", GOOD, [answer(b"abc", length=9), CLOSE]),
        ("silence in TLS", "still waiting for the headers", GOOD, [STALL]),
        ("an endless header in TLS", "headers are larger than", GOOD, [bare()[:-2] + b"A: ", Flood(b"x" * 9000)]),
    ):
        listen(name, ("unreachable",), words, steps or [answer()], Server(tls))
    listen("a self-signed certificate", ("unreachable",), "self-signed", [answer()], self_signed("localhost"))
    listen("healthy TLS", REPORTED, "10 min", [answer()], Server(GOOD))
    for name, words, step in (
        ("HTTP for HTTPS", "does not speak TLS on this port", answer()),
        ("noise for TLS", "the TLS handshake failed", bytes(range(256)) * 9),
        ("an alert for TLS", "handshake failed", b"\x15\x03\x03\x00\x02\x02\x28"),
        ("a close for TLS", "in the TLS handshake", CLOSE),
        ("silence for TLS", "still in the TLS handshake with localhost", STALL),
    ):
        listen(name, ("unreachable",), words, [AT_ONCE, step], scheme="https")
    full = _HELD.enter_context(full_backlog())
    fleet.append(
        Expected("a full accept queue", f"http://127.0.0.1:{full}/", ("unreachable",), "still connecting to", True)
    )
    fleet.append(
        Expected("a closed port", "http://127.0.0.1:1/", ("unreachable",), "connection refused by 127.0", False)
    )
    sys.stdout.write(json.dumps({"ca": CA.cert_pem.bytes().decode(), "fleet": fleet}) + "\n")
    sys.stdout.flush()
    reactor.run()


async def start(process: Process) -> tuple[str, list[Expected]]:
    """Wait until the process serves. Returns its CA as PEM, and the fleet."""
    await until(lambda: b"\n" in process.out or process.ended is not None, "the fault server's start")
    assert process.ended is None, process.log
    said = json.loads(process.out)
    return said["ca"], [Expected(*each) for each in said["fleet"]]


def _large() -> Iterator[tuple[str, Script]]:
    """Answers that are huge and must cost little memory."""
    block = b"x" * LIMIT
    gigabyte = bare(GZIP, b"Transfer-Encoding: chunked") + chunk_of(BOMB) * 8
    yield "a gzip bomb of a gigabyte", [gigabyte]
    yield "a header of half a gigabyte", [bare()[:-2] + b"A: ", Flood(block)]
    yield "a body of half a gigabyte", [bare(), Flood(block)]


#: Until the process ends.
_HELD = ExitStack()
