"""
Incidents as an Atom feed (RFC 4287), for feed readers and chat rooms.

A feed travels further than a page, so it shows the labels of tasks, never their URLs.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from pypinger import __version__
from pypinger.domain.identity import name_of
from pypinger.domain.kinds import KINDS
from pypinger.domain.model import Acknowledgement, Event, Incident, Instant, Seconds
from pypinger.domain.times import MINUTE, clock, iso, span
from pypinger.domain.url import task_id
from pypinger.ports.history import History, PastIncident
from pypinger.ports.showing import DaemonState, Entry, TaskBoard
from pypinger.ports.storing import StoreError
from pypinger.web.formatting import age_of, shown, state_of

MEDIA_TYPE = b"application/atom+xml; charset=utf-8"

#: Incidents in a feed.
ENTRIES = 50

#: Tag URIs (RFC 4151) are independent of addresses, so that ids stay when the pages move. The authority is a reserved
#: name, since no name of this installation is sure to stay.
_TAG = "tag:py-pinger.invalid,2026:"


async def latest(history: History | None, board: TaskBoard, root: str, of: Entry | None, now: Instant) -> bytes:
    """
    The feed of the latest incidents; see :func:`feed`.

    :raises StoreError: the history cannot be read, or none is kept.
    """
    if history is None:
        raise StoreError("no history is kept")
    incidents = await history.incidents(None if of is None else of.task.key, limit=ENTRIES)
    return feed(incidents, board, board.daemon().started, root, of, now=now)


def feed(
    incidents: Sequence[PastIncident],
    board: TaskBoard,
    started: Instant,
    root: str,
    of: Entry | None = None,
    *,
    now: Instant,
) -> bytes:
    """
    The feed of these incidents, newest first.

    :param started: when a feed without incidents was updated.
    :param root: the link from the feed to the overview, or the overview's whole address; ends with a slash.
    :param of: the task, None for all tasks.
    :param now: for how long open incidents have lasted; to the minute, so that a feed stays the same for as long.
    """
    now = now // MINUTE * MINUTE
    title = "Py Pinger: incidents" if of is None else f"Py Pinger: incidents of {shown(of.name)}"
    name = f"{_TAG}incidents" if of is None else f"{_TAG}incidents/{of.task.id}"
    page, own = (root, f"{root}feed.atom") if of is None else _pages(root, of.task.id)
    updated = max((_updated(incident, board) for incident in incidents), default=started)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<feed xmlns="http://www.w3.org/2005/Atom">',
        f"<id>{name}</id>",
        f"<title>{escape(title)}</title>",
        f"<updated>{iso(updated)}</updated>",
        "<author><name>Py Pinger</name></author>",
        f'<generator version="{__version__}">Py Pinger</generator>',
        f'<link rel="self" type="application/atom+xml" href={quoteattr(own)}/>',
        f'<link rel="alternate" href={quoteattr(page)}/>',
        *(_entry(incident, board, root, now) for incident in incidents),
        "</feed>\n",
    ]
    return "\n".join(lines).encode("utf-8")


def _entry(incident: PastIncident, board: TaskBoard, root: str, now: Instant) -> str:
    known = board.by_key(incident.task)
    name = shown(known.name if known else name_of(incident.task))
    number = task_id(incident.task)
    what = KINDS[incident.kinds[0]].label if incident.kinds else "in trouble"
    lines = [shown(incident.explanation)]
    taken, flapping = _acknowledged(incident, known), _flapping(incident, known)
    lines += [f"{told.event.value}: {shown(told.explanation)}" for told in incident.told]
    if incident.ended is None:
        lines.append(_present_state(incident, known, board.daemon(), now))
        title = f"{name} is {what}" + (" and flapping" if flapping else "")
        if taken is not None:
            title += f", acknowledged by {shown(taken.by) or 'unknown'}"
            if all(told.event is not Event.ACKNOWLEDGED for told in incident.told):
                lines.append(f"acknowledged: {shown(taken.reason)}" if taken.reason else "acknowledged")
    else:
        lasted: Seconds = incident.ended - incident.started
        kind = f"{what}{', flapping' if flapping else ''}"
        # Incidents also end when their task is removed, in trouble as it is.
        title = f"{name} is OK again, after {span(lasted)} ({kind})"
        if known is None:
            title = f"{name} was {kind} for {span(lasted)}, and is no longer monitored"
    return "\n".join(
        (
            "<entry>",
            f"<id>{_TAG}incident/{number}/{round(incident.started * 1000)}</id>",
            f"<title>{escape(title)}</title>",
            f"<published>{iso(incident.opened)}</published>",
            f"<updated>{iso(_updated(incident, board))}</updated>",
            f'<link rel="alternate" href={quoteattr(_pages(root, number)[0])}/>',
            f'<content type="text">{escape(chr(10).join(lines))}</content>',
            "</entry>",
        )
    )


def _present_state(incident: PastIncident, known: Entry | None, daemon: DaemonState, now: Instant) -> str:
    """How an open incident stands: ``as of 22:28:00 UTC: late by 33 min, for 25 min``."""
    lasted = span(max(0.0, now - incident.started))
    words = "in trouble"
    if known is not None:
        age = age_of(known, now)
        words = state_of(known) if age is None or not age.words.startswith("late by ") else age.words
    if daemon.blind is not None:
        words = f"Py Pinger is blind, the task was {words}"
    return f"as of {clock(now)}: {words}, in trouble for {lasted}"


def _pages(root: str, number: str) -> tuple[str, str]:
    return f"{root}task/{number}", f"{root}task/{number}/feed.atom"


def _updated(incident: PastIncident, board: TaskBoard) -> Instant:
    """When the incident last changed."""
    told = incident.told[-1].at if incident.told else incident.opened
    taken = _acknowledged(incident, board.by_key(incident.task))
    changes = incident.opened if incident.ended is None else incident.ended, told if taken is None else taken.at
    return max(told, *changes)


def _present(incident: PastIncident, known: Entry | None) -> Incident | None:
    """The incident as it is open now, if it is."""
    present = None if known is None else known.state.incident
    if present is None or incident.ended is not None:
        return None
    # The history keeps milliseconds.
    return present if abs(present.started - incident.started) < 0.01 else None


def _acknowledged(incident: PastIncident, known: Entry | None) -> Acknowledgement | None:
    present = _present(incident, known)
    return None if present is None else present.acknowledged


def _flapping(incident: PastIncident, known: Entry | None) -> bool:
    present = _present(incident, known)
    if present is not None:
        return present.flapping
    return any(told.event is Event.FLAPPING for told in incident.told)
