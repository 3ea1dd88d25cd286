"""The page of incidents."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.template import Tag, tags

from pypinger.domain.model import Instant
from pypinger.domain.times import iso, span
from pypinger.ports.history import PastIncident
from pypinger.web.formatting import NAMES, count, shown, stamp
from pypinger.web.html.layout import moment
from pypinger.web.html.listing import (
    Frame,
    Listing,
    choice_field,
    list_page,
    table_of,
    task_link,
    task_value,
    text_field,
)
from pypinger.web.past.filters import KINDS, STATES

COLUMNS = ("State", "Task", "What", "Began", "Lasted", "Alerts")


async def page_of(frame: Frame, listing: Listing, incidents: Sequence[PastIncident]) -> tuple[bytes, bytes]:
    """The page, and its entity tag."""
    opened = sum(entry.state.incident is not None for entry in frame.board.entries())
    known = tags.a(count(opened, "incident"), href=Listing("incidents", {"state": "open"}).link(frame.root))
    line = tags.p(known, " open now.") if opened else tags.p("No incident is open.")
    fields = [
        text_field(listing, "task", "Task", "Name, URL or selector"),
        choice_field(listing, "kind", "Kind", {kind.value: NAMES[kind] for kind in KINDS}),
        choice_field(listing, "state", "State", {state: state for state in STATES}),
        text_field(listing, "since", "Since", "7d or 2026-03-01", times=True),
        text_field(listing, "until", "Until", "24h or 2026-03-08", times=True),
    ]
    table = table_of(listing, COLUMNS, [_row(frame, incident) for incident in incidents])
    return await list_page(frame, listing, [line], [], fields, table)


def _row(frame: Frame, incident: PastIncident) -> Tag:
    ended, now = incident.ended, frame.now
    kinds = " → ".join(NAMES[kind] for kind in incident.kinds)
    alerts: Tag | str = f"{incident.alerts:,}"
    if incident.alerts:
        link = Listing("deliveries", {"task": task_value(frame, incident.task)}).link(frame.root)
        alerts = tags.a(count(incident.alerts, "alert"), href=link)
    return tags.tr(
        tags.td(tags.span(class_="mark"), "open" if ended is None else "closed", class_="kind"),
        tags.th(task_link(frame, incident.task), scope="row"),
        tags.td(tags.b(kinds), tags.span(shown(incident.explanation)), class_="why"),
        tags.td(moment(incident.started, now) or "–", class_="when", **{"data-label": "Began"}),
        tags.td(_lasted(incident.started, ended, now), class_="lasted", **{"data-label": "Lasted"}),
        tags.td(alerts, class_="alerts", **{"data-label": "Alerts"}),
        class_="error" if ended is None else "new",
        id=f"incident-{incident.key}",
    )


def _lasted(started: Instant, ended: Instant | None, now: Instant) -> Tag | str:
    if ended is not None:
        return span(max(0.0, ended - started))
    words = f"{span(max(0.0, now - started))} so far"
    form = {"data-age": "{} so far"}
    return tags.time(words, datetime=iso(started) or "", title=stamp(started), class_="age", **form)
