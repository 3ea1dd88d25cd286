"""The overview's banner: how many tasks are in trouble, since when, and which was the latest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.web.template import Tag, tags

from pypinger.domain.kinds import Status
from pypinger.domain.model import Instant
from pypinger.domain.times import clock
from pypinger.ports.showing import DaemonState, Entry
from pypinger.web.formatting import UNSEEN, count, lasting, shown
from pypinger.web.html.flags import MAINTENANCE
from pypinger.web.html.layout import aged, ago
from pypinger.web.html.notices import BLIND, WHILE_BLIND
from pypinger.web.html.view import View


def summary(counts: Mapping[str, int], daemon: DaemonState) -> tuple[str, str]:
    """The banner's heading and its look."""
    if _away(daemon) is not None:
        return "The database is away", "degraded"
    if daemon.blind is not None:
        return "Py Pinger is blind", "degraded"
    heading, look = _tasks_summary(counts)
    if daemon.status is Status.OK:
        return heading, look
    # States may be outdated, or alerts undelivered: never green.
    return f"{heading}; Py Pinger is degraded", "error" if look == "error" else "degraded"


def title(heading: str, counts: Mapping[str, int], daemon: DaemonState) -> str:
    """The title of the browser's tab, which has room for a few words."""
    if daemon.blind is not None or _away(daemon) is not None:
        return f"(!) {heading}"
    name = "Py Pinger" if daemon.status is Status.OK else "Py Pinger is degraded"
    if counts["error"]:
        return f"({counts['error']:,}) {name}"
    if counts[UNSEEN]:
        return f"(!) {heading} · {name}"
    return f"{heading} · {name}" if daemon.status is Status.OK else f"(!) {name}"


def details(entries: Sequence[Entry], counts: Mapping[str, int], daemon: DaemonState, now: Instant) -> list[Tag]:
    """The banner's lines beside its heading."""
    away = _away(daemon)
    since = daemon.blind if away is None else away
    if since is not None:
        # A task that has not been seen since may have been in trouble, too.
        wrong = sum(entry.state.status is Status.ERROR for entry in entries)
        known = f"{wrong:,} of {count(len(entries), 'task')} in trouble"
        lost = "It has had no contact with its tasks " if away is None else "Py Pinger has had no contact with it "
        why = _why_blind(daemon) if away is None else ""
        return [
            tags.p(lost, aged(lasting("for {}", since, now)), _since(since, now), why, "."),
            tags.p(f"The last known states are shown: {known}. {WHILE_BLIND if away is None else ''}", class_="quiet"),
        ]
    flagged = _flagged(entries)
    troubled = [entry for entry in entries if entry.state.status is Status.ERROR and entry.state.since is not None]
    if troubled:
        since_when = sorted(troubled, key=lambda entry: entry.state.since or now)
        first, latest = since_when[0], since_when[-1]
        began = first.state.since or now
        words: list[Tag | str] = [aged(lasting("For {}", began, now)), _since(began, now), "."]
        if latest is not first:
            words += " Latest: ", tags.a(shown(latest.name), href=f"task/{latest.task.id}"), ", "
            words += ago(latest.state.since or now, now), "."
        return [tags.p(*words), *flagged]
    if counts["new"]:
        checked = f"{len(entries) - counts['new']:,} of {len(entries):,} checked since the start "
        return [tags.p(checked, ago(daemon.started, now), "."), *flagged]
    asleep = counts["sleeping"]
    return [*([tags.p(f"{asleep:,} of them asleep.")] if asleep and len(entries) > 1 else []), *flagged]


def _away(daemon: DaemonState) -> Instant | None:
    """Since when the database that instances share has been away."""
    return None if daemon.sharing is None else daemon.sharing.away


def _why_blind(daemon: DaemonState) -> str:
    words = next((each for each in daemon.troubles if each.startswith(BLIND)), "")
    return f": {shown(words.removeprefix(BLIND))}" if words else ""


def _since(instant: Instant, now: Instant) -> str:
    return f" (since {clock(instant, now)})"


def _tasks_summary(counts: Mapping[str, int]) -> tuple[str, str]:
    """The heading and look by the tasks alone."""
    total = sum(counts.values())
    if not total:
        return "No tasks", "new"
    unseen = counts[UNSEEN]
    if counts["error"]:
        heading = f"{counts['error']:,} of {count(total, 'task')} in trouble"
        return f"{heading}, {unseen:,} not seen" if unseen else heading, "error"
    if unseen:
        return f"{unseen:,} of {count(total, 'task')} not seen", "degraded"
    if counts["new"]:
        return f"{counts['new']:,} of {count(total, 'task')} not checked yet", "new"
    if total == 1:
        return "The task is asleep" if counts["sleeping"] else "The task is on time", "ok"
    return "All tasks on time", "ok"


def _flagged(entries: Sequence[Entry]) -> list[Tag]:
    """How many tasks are silenced, in maintenance, acknowledged or flapping; nothing if none is."""
    incidents = [entry.state.incident for entry in entries if entry.state.incident is not None]
    muted = [entry.muted.source for entry in entries if entry.muted is not None]
    maintained = sum(source.startswith(MAINTENANCE) for source in muted)
    counts = {
        "silenced": ("silenced", len(muted) - maintained),
        "in maintenance": ("maintenance", maintained),
        "acknowledged": ("acknowledged", sum(incident.acknowledged is not None for incident in incidents)),
        "flapping": ("flapping", sum(incident.flapping for incident in incidents)),
    }
    links = [tags.a(f"{many:,} {name}", href=View(search=word).link) for name, (word, many) in counts.items() if many]
    return [tags.ul([tags.li(link) for link in links], class_="sums")] if links else []
