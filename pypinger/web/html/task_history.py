"""What the page of a task shows of its history: incidents with their alerts, and the reports that checks found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import msgspec
from twisted.logger import Logger
from twisted.web.template import Tag, tags

from pypinger.domain.model import Instant, Invalid, NoAnswer, Outcome, Reported
from pypinger.domain.schedule import plan_of
from pypinger.domain.times import MINUTE, clock, span
from pypinger.ports.history import Day, Gap, History, PastAlert, PastDelivery, PastIncident, Run
from pypinger.ports.showing import Entry
from pypinger.ports.storing import StoreError
from pypinger.web.formatting import NAMES, count, every, shown
from pypinger.web.html.charts import sparkline
from pypinger.web.html.layout import ago, card, facts, moment, picture, unknown

#: How much of each part of the history is read.
RUNS = 45
INCIDENTS = 10
DELIVERIES = 100

#: Rows in the table of reports.
ROWS = 15

#: Alerts of an open incident that are shown at first; the others, and those of a closed one, are folded.
ALERTS = 5

_OUTCOMES = {
    None: "pending",
    Outcome.SENT: "sent",
    Outcome.RETRY: "pending",
    Outcome.DEAD: "given up",
    Outcome.REPLACED: "replaced",
}

_log = Logger()


class Past(msgspec.Struct, frozen=True):
    """The history of one task; see :class:`pypinger.ports.history.History`."""

    runs: Sequence[Run]
    incidents: Sequence[PastIncident]
    deliveries: Sequence[PastDelivery]
    uptime: Mapping[str, float | None]
    gaps: Sequence[Gap]
    days: Sequence[Day]


async def read(history: History | None, entry: Entry, now: Instant) -> Past | None:
    """Read what the page shows; None without a history, or if it cannot be read."""
    if history is None:
        return None
    key = entry.task.key
    try:
        return Past(
            await history.runs(key, limit=RUNS),
            await history.incidents(key, limit=INCIDENTS),
            await history.deliveries(key, limit=DELIVERIES),
            await history.uptime(key, now),
            await history.gaps(key),
            await history.days(key, now),
        )
    except StoreError as error:
        _log.warn("the page of a task is shown without its history: {error}", error=str(error))
        return None


def incidents(entry: Entry, past: Past | None, now: Instant) -> list[Tag]:
    """The incidents with their alerts, and each alert's deliveries."""
    open_ = entry.state.incident
    if past is None:
        if open_ is None:
            return []
        return [
            facts(
                "Incidents",
                ("Open since", moment(open_.started, now)),
                ("Latest problem", NAMES[open_.kind]),
                ("Alerts so far", f"{open_.alerts:,}"),
                look="error",
            )
        ]
    if not past.incidents:
        return [card("Incidents", unknown("No incidents."))]
    deliveries: dict[str, list[PastDelivery]] = {}
    for delivery in past.deliveries:
        deliveries.setdefault(delivery.alert.id, []).append(delivery)
    items = [_incident(incident, deliveries, now) for incident in past.incidents]
    return [card("Incidents", tags.ol(items, class_="incidents"))]


def reports(entry: Entry, past: Past | None, now: Instant) -> list[Tag]:
    """What the checks found, and the gaps between runs."""
    if past is None:
        return []
    parts: list[Tag] = []
    report = entry.state.report
    svg = "" if report is None else sparkline(past.gaps, entry.task, report)
    if svg and report is not None:
        frequency = plan_of(entry.task, report).frequency
        line = "Marked" if frequency is None else f"The line marks {every(frequency / MINUTE)}; marked"
        words = f"Gaps between runs. {line} bars are late runs."
        parts.append(tags.figure(*picture(svg), tags.figcaption(words)))
    if not past.runs:
        return [card("Reports", *parts, unknown("None yet."))]
    # Each alert begins another run, so that several runs may read the same.
    alike = [(words, tuple(runs)) for words, runs in groupby(past.runs, lambda run: _found(run, now))]
    rows = [
        tags.tr(
            tags.td(
                # The oldest run that was read may have begun earlier.
                "before " if len(past.runs) == RUNS and runs[-1] is past.runs[-1] else "",
                ago(runs[-1].first, now),
                " ",
                tags.small(clock(runs[-1].first, now)),
            ),
            tags.td(f"{sum(run.count for run in runs):,}"),
            tags.td(words),
        )
        for words, runs in alike[:ROWS]
    ]
    table = tags.table(
        tags.thead(tags.tr([tags.th(name, scope="col") for name in ("First seen", "Checks", "Result")])),
        tags.tbody(rows),
        class_="small reports",
        **{"aria-labelledby": "reports-title"},
    )
    return [card("Reports", *parts, table)]


def _incident(incident: PastIncident, deliveries: Mapping[str, Sequence[PastDelivery]], now: Instant) -> Tag:
    ended = incident.ended
    kinds = " → ".join(NAMES[kind] for kind in incident.kinds)
    lasted = span(max(0.0, (now if ended is None else ended) - incident.started))
    head = [
        tags.span(class_="mark"),
        tags.strong("Open" if ended is None else "Closed"),
        f" · {kinds} · began ",
        moment(incident.started, now),
        f", {'has lasted' if ended is None else 'lasted'} {lasted}",
    ]
    visible = ALERTS if ended is None else 0
    latest, earlier = incident.told[::-1][:visible], incident.told[::-1][visible:]
    of = f"of the incident of {clock(incident.started, now)}"
    folded = tags.details(
        tags.summary(count(len(earlier), "earlier alert" if latest else "alert")),
        _alerts(f"{'Earlier alerts' if latest else 'Alerts'} {of}", earlier, deliveries, now),
    )
    more = incident.alerts - len(incident.told)
    omitted = f"{count(more, 'more alert')} not sent to a channel, or not listed."
    return tags.li(
        tags.p(head, class_="incident"),
        tags.p(shown(incident.explanation), class_="quiet"),
        _alerts(f"Alerts {of}", latest, deliveries, now) if latest else "",
        folded if earlier else "",
        tags.p(omitted, class_="quiet") if more > 0 else "",
        class_="error" if ended is None else "new",
        # The script recognises it by the id, so that what was unfolded stays so.
        id=f"incident-{incident.key}",
    )


def _alerts(
    name: str, alerts: Sequence[PastAlert], deliveries: Mapping[str, Sequence[PastDelivery]], now: Instant
) -> Tag:
    rows = [
        tags.tr(
            tags.td(told.event.value),
            tags.td(ago(told.at, now), " ", tags.small(clock(told.at, now))),
            tags.td([_delivery(each, now) for each in deliveries.get(told.id, ())] or "–"),
        )
        for told in alerts
    ]
    head = tags.thead(tags.tr([tags.th(name, scope="col") for name in ("Alert", "When", "Deliveries")]))
    return tags.table(head, tags.tbody(rows), class_="small", **{"aria-label": name})


def _delivery(delivery: PastDelivery, now: Instant) -> Tag:
    words = f": “{shown(delivery.words)}”" if delivery.words else ""
    settled = [] if delivery.settled is None else [", ", ago(delivery.settled, now)]
    return tags.p(
        tags.b(shown(delivery.channel)),
        f" {_OUTCOMES[delivery.outcome]}",
        f" after {count(delivery.attempts, 'attempt')}" if delivery.attempts else "",
        settled,
        words,
    )


def _found(run: Run, now: Instant) -> str:
    finding = run.finding
    match finding:
        case Reported():
            report = finding.report
            words = "ok" if report.ok else "error"
            words += "" if report.lastrun is None else f", ran {clock(report.lastrun, now)}"
            if report.running and report.started is not None:
                words += f", running since {clock(report.started, now)}"
            words += "" if 200 <= finding.code < 300 else f", HTTP {finding.code}"
            return shown(words + (f": {report.reason}" if report.reason else ""))
        case Invalid():
            return shown(f"HTTP {finding.code}, invalid report: {finding.problem}")
        case NoAnswer():
            return shown(f"no answer: {finding.words}")
