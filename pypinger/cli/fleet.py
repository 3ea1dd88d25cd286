"""
Sample task endpoints for the demo and for tests: at least one for each kind of verdict.

What an endpoint answers is a function of the current time and the start of the fleet, so tests can ask for any moment.
:mod:`pypinger.cli.demo` listens and writes the ini file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from twisted.web.http import Request
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from pypinger.domain.cron import cron
from pypinger.domain.model import Instant
from pypinger.domain.times import DAY, MINUTE, iso
from pypinger.ports.clock import WallClock


class SampleAnswer(msgspec.Struct, frozen=True):
    """
    What an endpoint sends.

    :ivar complete: False to never send the rest of the body.
    """

    body: bytes
    code: int = 200
    location: str = ""
    complete: bool = True


#: Returns what an endpoint sends, given the start of the fleet and the current time; None to never answer.
Behaviour: TypeAlias = Callable[[Instant, Instant], SampleAnswer | None]


class Sample(msgspec.Struct, frozen=True):
    """A sample task: its path, its name and its behaviour."""

    path: str
    name: str
    behaviour: Behaviour


def _report(code: int = 200, **members: Any) -> SampleAnswer:
    return SampleAnswer(json.dumps(members).encode(), code)


def _every(period: float, now: Instant) -> str | None:
    """Return the latest run of a task that runs every `period` seconds."""
    return iso(now // period * period)


def _healthy(started: Instant, now: Instant) -> SampleAnswer:
    return _report(status="ok", lastrun=_every(60, now), frequency=1, process="billing", server="app-1")


def _healthy_daily(started: Instant, now: Instant) -> SampleAnswer:
    return _report(status="OK", lastrun=_every(DAY, now), frequency=1440, process="backup", server="db-1")


def _weekdays(started: Instant, now: Instant) -> SampleAnswer:
    """Its latest run began at the latest scheduled moment and took ten minutes, or is under way."""
    schedule, timezone = "0 3 * * 1-5", "Europe/Berlin"
    begun = cron(schedule, timezone).before(now + 0.001) or now
    ended = begun + 10 * MINUTE
    return _report(
        status="ok",
        lastrun=iso(ended) if ended <= now else iso(cron(schedule, timezone).before(begun)),
        started=iso(begun),
        schedule=schedule,
        timezone=timezone,
        max_runtime=60,
        process="payroll",
        server="app-2",
    )


def _overrunning(started: Instant, now: Instant) -> SampleAnswer:
    ran, begun = iso(started - DAY), iso(started - 90 * MINUTE)
    return _report(
        status="ok", lastrun=ran, started=begun, frequency=1440, max_runtime=60, process="sync", server="db-1"
    )


def _late(started: Instant, now: Instant) -> SampleAnswer:
    return _report(status="ok", lastrun=iso(started - 45 * MINUTE), frequency=10, process="import", server="app-2")


def _stalling(started: Instant, now: Instant) -> SampleAnswer:
    """Runs every 15 s for two minutes, then stops for two minutes."""
    rest = (now - started) % 240
    ran = now - (rest % 15 if rest < 120 else rest - 105)
    return _report(status="ok", lastrun=iso(ran), frequency=0.25, process="queue", server="app-2")


def _failing(started: Instant, now: Instant) -> SampleAnswer:
    reason = "pg_dump: error: connection to server at db-2 failed: No space left on device"
    return _report(
        status="error", lastrun=_every(300, now), frequency=5, reason=reason, process="backup", server="db-2"
    )


def _failing_with_500(started: Instant, now: Instant) -> SampleAnswer:
    return _report(
        500, status="error", lastrun=_every(300, now), frequency=5, reason="division by zero", server="app-1"
    )


def _ok_with_503(started: Instant, now: Instant) -> SampleAnswer:
    return _report(503, status="ok", lastrun=_every(300, now), frequency=5, process="search", server="app-3")


def _sleeping(started: Instant, now: Instant) -> SampleAnswer:
    start = time.strftime("%H:%M", time.gmtime(started - 60 * MINUTE))
    sleep = [{"start": start, "duration": 480}]
    return _report(status="ok", lastrun=iso(started - 65 * MINUTE), frequency=10, sleep=sleep, process="orders")


def _flapping(started: Instant, now: Instant) -> SampleAnswer:
    """Succeeds for 40 s, then fails for 20 s."""
    if (now - started) % 60 < 40:
        return _report(status="ok", lastrun=_every(10, now), frequency=1, process="feeds", server="app-3")
    return _report(
        status="error",
        lastrun=_every(10, now),
        frequency=1,
        reason="partner answered 502",
        process="feeds",
        server="app-3",
    )


def _future(started: Instant, now: Instant) -> SampleAnswer:
    return _report(status="ok", lastrun=iso(started + DAY), frequency=60, process="clock", server="app-4")


def _hanging(started: Instant, now: Instant) -> None:
    return None


def _stopping_short(started: Instant, now: Instant) -> SampleAnswer:
    return SampleAnswer(b'{"status": "ok", "lastr', complete=False)


def _no_json(started: Instant, now: Instant) -> SampleAnswer:
    return SampleAnswer(b"<!DOCTYPE html><title>Welcome to nginx!</title>")


def _bad_sleep(started: Instant, now: Instant) -> SampleAnswer:
    return _report(status="ok", lastrun=_every(60, now), sleep=[{"start": "25:00", "duration": 60}])


def _server_error(started: Instant, now: Instant) -> SampleAnswer:
    return SampleAnswer(b"<h1>Internal Server Error</h1>", 500)


def _redirecting(started: Instant, now: Instant) -> SampleAnswer:
    return SampleAnswer(b"", 302, "/healthy")


def _going_round(started: Instant, now: Instant) -> SampleAnswer:
    return SampleAnswer(b"", 302, "/going-round")


def _huge(started: Instant, now: Instant) -> SampleAnswer:
    return SampleAnswer(b" " * 1_000_000)


def _hostile(started: Instant, now: Instant) -> SampleAnswer:
    script = "<script>alert('not escaped')</script> & <!channel>"
    return _report(status="error", lastrun=_every(60, now), frequency=1, reason=script, process=script, server=script)


SAMPLES = (
    Sample("healthy", "Invoices", _healthy),
    Sample("healthy-daily", "Nightly backup", _healthy_daily),
    Sample("weekdays", "Payroll (weekdays at 03:00 in Berlin)", _weekdays),
    Sample("overrunning", "Sync (runs longer than it may)", _overrunning),
    Sample("late", "Price import", _late),
    Sample("stalling", "Mail queue (late every few minutes)", _stalling),
    Sample("failing", "Backup of db-2", _failing),
    Sample("failing-with-500", "Failure reported with code 500", _failing_with_500),
    Sample("ok-with-503", "Search index (reports ok with code 503)", _ok_with_503),
    Sample("sleeping", "Orders (sleeping)", _sleeping),
    Sample("flapping", "Partner feeds (flapping)", _flapping),
    Sample("future", "Server with a wrong clock", _future),
    Sample("hanging", "Never answers", _hanging),
    Sample("stopping-short", "Never completes its answer", _stopping_short),
    Sample("no-json", "Answers with a web page", _no_json),
    Sample("bad-sleep", "Reports an invalid sleep window", _bad_sleep),
    Sample("server-error", "Answers 500", _server_error),
    Sample("redirecting", "Redirects to Invoices", _redirecting),
    Sample("going-round", "Redirects to itself", _going_round),
    Sample("huge", "Answers with a megabyte", _huge),
    Sample("hostile", "Reports a script", _hostile),
)


class Fleet(Resource):
    """
    A web resource with all samples.

    :param now: the wall clock; the fleet starts now.
    """

    isLeaf = True

    def __init__(self, now: WallClock) -> None:
        Resource.__init__(self)
        self._now = now
        self._started = now()
        self._samples = {b"/" + sample.path.encode(): sample for sample in SAMPLES}

    def render(self, request: IRequest) -> bytes | int:
        """Answer as the sample at the path does, or with 404."""
        sample = self._samples.get(request.path)
        if sample is None:
            request.setResponseCode(404)
            return b"no such task\n"
        sent = sample.behaviour(self._started, self._now())
        if sent is None:
            return NOT_DONE_YET
        request.setResponseCode(sent.code)
        request.setHeader(b"content-type", b"application/json" if sent.body.startswith(b"{") else b"text/html")
        if sent.location:
            request.setHeader(b"location", sent.location.encode())
        if not sent.complete:
            request.setHeader(b"content-length", b"200")
            request.write(sent.body)
            return NOT_DONE_YET
        return sent.body


class FleetSite(Site):
    """Serves the fleet without an access log."""

    noisy = False

    def __init__(self, now: WallClock) -> None:
        Site.__init__(self, Fleet(now))

    def log(self, request: Request) -> None:
        """Log nothing."""
