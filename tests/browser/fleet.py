"""Tasks in every state, for a board."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from pypinger.domain.judge import judge
from pypinger.domain.kinds import Status
from pypinger.domain.model import (
    Acknowledgement,
    Fault,
    Finding,
    Incident,
    Instant,
    Invalid,
    NoAnswer,
    Report,
    Reported,
    TaskState,
    Window,
)
from pypinger.domain.silence import Muted
from pypinger.domain.times import DAY, HOUR
from pypinger.ports.sharing import Instance, InstanceHealth
from pypinger.ports.showing import Entry, Sharing
from tests.web.fakes import task, with_incident

MINUTE = 60.0


def judged(name: str, finding: Finding, now: Instant, report: Report | None = None, **changes: object) -> Entry:
    """A task at ``http://app.example/…`` that was checked a moment ago."""
    slug = "-".join(name.lower().split())[:60]
    made = task(f"http://app.example/{slug}?key=s3cret", name, **changes)
    verdict = judge(finding, made, now)
    trouble = verdict.status is Status.ERROR
    state = TaskState(
        verdict=verdict,
        report=finding.report if isinstance(finding, Reported) else report,
        pings=1234,
        errors=12 if trouble else 0,
        checked=now - 20,
        since=now - (14 * MINUTE if trouble else 3 * DAY),
        latency=0.0213,
        row=12 if trouble else 0,
        row_started=now - 15 * MINUTE if trouble else None,
        incident=Incident(now - 15 * MINUTE, verdict.kind, now - 14 * MINUTE, 3) if trouble else None,
    )
    return Entry(made, state)


def report(now: Instant, ago: float, frequency: float = 10.0, *, code: int = 200, **members: object) -> Reported:
    """A report of a run `ago` seconds before."""
    return Reported(code, Report(**{"ok": True, "lastrun": now - ago, "frequency": frequency, **members}))  # type: ignore[arg-type]


def fleet(now: Instant) -> Iterator[Entry]:
    """A dozen tasks in every state."""
    night = (Window(int(now - HOUR) % 86_400, 8 * HOUR),)
    soon = (Window(int(now + 3 * HOUR) % 86_400, 6 * HOUR),)
    yield judged("Invoices", report(now, 130, process="billing", server="app-1"), now)
    yield judged("Nightly backup", report(now, 11 * HOUR, 1440, process="backup", server="db-1"), now)
    yield judged("Price import", report(now, 45 * MINUTE, process="import", server="app-2"), now)
    reason = "pg_dump: error: connection to server at db-2 failed: No space left on device"
    yield judged("Backup of db-2", report(now, 300, ok=False, reason=reason, process="backup", server="db-2"), now)
    yield judged("Orders", report(now, HOUR + 300, process="orders", server="app-1", sleep=night), now)
    yield judged("Mail queue", report(now, 12 * MINUTE, 15, process="queue", server="app-2", sleep=soon), now)
    yield judged("Search index", report(now, 200, 5, process="search", server="app-3"), now)
    seen = report(now, 40 * MINUTE, process="feeds", server="app-3").report
    refused = NoAnswer(Fault.REFUSED, "connection refused by 10.0.3.17 port 443", 0.0)
    yield judged("Partner feeds", refused, now, seen)
    yield judged("Stock levels", Invalid(200, 'lastrun: missing; the body began "<!DOCTYPE html>"'), now)
    yield judged("A server with a wrong clock", report(now, -DAY, 60, process="clock", server="app-4"), now)
    yield judged(
        "Thumbnails in every size that the shop, the app and our partners may ask for", report(now, 20, 1), now
    )
    yield Entry(task("http://app.example/new", "Loyalty points"), TaskState())
    yield judged("Grace", report(now, 10 * MINUTE + 30, server="app-1", process="loyalty"), now)


def on_call(now: Instant) -> Iterator[Entry]:
    """Tasks that are silenced, acknowledged, flapping, and all of that at once."""
    members: dict[str, str] = {
        "runbook": "https://wiki.example/run?book=1",
        "note": "Ask Ben first.",
        "group": "billing",
    }
    upgrade = Muted(now + 25 * MINUTE, "upgrade of db-2, see ticket 4711", "jane", "silence 3f2a")
    taken = Acknowledgement(now - 5 * MINUTE, "jane", "on it, the disk is being replaced")
    silenced = judged("Ledger", report(now, 55 * MINUTE, process="ledger", server="db-2"), now, **members)
    yield replace(silenced, muted=upgrade)
    yield with_incident(
        judged("Exports", report(now, 300, ok=False, reason="disk full"), now, **members), acknowledged=taken
    )
    flapping = judged("Crawler", report(now, 3 * HOUR, process="crawler", server="app-9"), now)
    yield with_incident(flapping, flapping=True)
    every = with_incident(judged("Ratings", report(now, HOUR, server="db-2"), now), flapping=True, acknowledged=taken)
    yield replace(every, muted=replace(upgrade, until=now + 2 * DAY, reason="long words " * 40))
    nightly = Muted(now + 90 * MINUTE, "", "", "maintenance nightly")
    yield replace(judged("Archive", report(now, 60, process="archive"), now), muted=nightly)


def crowd(now: Instant, many: int) -> Iterator[Entry]:
    """Many tasks, nearly all of them on time."""
    for number in range(many):
        ago = 45 * MINUTE if number % 997 == 5 else number % 500
        members = {"process": f"job-{number % 40}", "server": f"app-{number % 25}"}
        yield judged(f"Task {number:04}", report(now, ago, **members), now)


def shared(entries: Iterable[Entry], *names: str) -> list[Entry]:
    """The same tasks, watched by instances in turn."""
    return [replace(each, owner=names[number % len(names)]) for number, each in enumerate(entries)]


def instances(now: Instant) -> Sharing:
    """Three instances of which two are in trouble, as ``alpha`` shows them."""
    disk = "the store cannot be written: No space left on device"
    members = (
        member("alpha", now - 3 * DAY, 8, ("email",)),
        member("beta.example.org:3003", now - 40 * MINUTE, 7, (), digest="two", blind=now - 100),
        member("gamma", now - 3 * HOUR, 9, ("slack", "pagerduty"), status=Status.ERROR, explanation=disk),
    )
    return Sharing("alpha", members)


def member(
    name: str, joined: Instant, tasks: int, channels: tuple[str, ...], *, digest: str = "one", **health: object
) -> Instance:
    """An instance that holds a lease."""
    known = InstanceHealth(**{"started": joined, "version": "2.0", **health})  # type: ignore[arg-type]
    return Instance(f"id-{name}", name, joined, tasks, channels, digest, known)


def storm(now: Instant, many: int) -> Iterator[Entry]:
    """Tasks of one origin that all answer 503."""
    for number in range(many):
        last = Report(True, now - 900, process="import", server=f"app-{number % 9}")
        made = judged(f"Import {number:04}", Invalid(503, "the body is empty"), now, last)
        since = now - 120 + number % 60
        incident = Incident(since, made.state.kind, since, 1)
        yield replace(made, state=replace(made.state, since=since, incident=incident))
