"""
The page of one task: its verdict explained in words and as a picture, its reports, incidents and alerts.

What the history tells comes from :func:`remembered`; without a history the page shows the present alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import msgspec
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.template import Tag, tags

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Instant, Invalid, NoAnswer, Outcome, Report, Reported, Seconds
from pypinger.domain.redaction import Secrets
from pypinger.domain.times import clock, number, span
from pypinger.ports.history import Day, Gap, History, PastAlert, PastDelivery, PastIncident, Run
from pypinger.ports.showing import Entry, LastAnswer
from pypinger.ports.storing import StoreError
from pypinger.web.answered import last_answer
from pypinger.web.api import NO_VERDICT, reason_of
from pypinger.web.frame import brand, card, facts, foot, moment, page, picture, since, top, unknown, upcoming
from pypinger.web.pictures import calendar, sparkline
from pypinger.web.timeline import timeline
from pypinger.web.words import LOOKS, NAMES, count, daily, every, percent, shown

#: How much of each part of the history is shown.
RUNS = 45
INCIDENTS = 10
DELIVERIES = 100

#: How many lines what was found takes at most.
ROWS = 15

#: How many alerts of an open incident are seen at first; the others, and those of one that is over, can be unfolded.
ALERTS = 5

#: Names and addresses with more characters than these stand below the banner, too, which shows a few lines of them.
LONG = 80

_PERIODS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
_OUTCOMES = {
    None: "waiting",
    Outcome.SENT: "sent",
    Outcome.RETRY: "waiting",
    Outcome.DEAD: "given up",
    Outcome.REPLACED: "left out",
}

_log = Logger()


class Past(msgspec.Struct, frozen=True):
    """What the history tells of one task; see :class:`pypinger.ports.history.History`."""

    runs: Sequence[Run]
    incidents: Sequence[PastIncident]
    deliveries: Sequence[PastDelivery]
    uptime: Mapping[str, float | None]
    gaps: Sequence[Gap]
    days: Sequence[Day]


async def remembered(history: History | None, entry: Entry, now: Instant) -> Past | None:
    """Ask the history for what a task's page shows; None if there is none, or it cannot be read."""
    if history is None:
        return None
    url = entry.task.url
    try:
        return Past(
            await history.runs(url, limit=RUNS),
            await history.incidents(url, limit=INCIDENTS),
            await history.deliveries(url, limit=DELIVERIES),
            await history.uptime(url, now),
            await history.gaps(url),
            await history.days(url, now),
        )
    except StoreError as error:
        _log.warn("A task is shown without its history: {error}", error=str(error))
        return None


async def task_page(
    request: IRequest,
    entry: Entry,
    answer: LastAnswer | None,
    past: Past | None,
    now: Instant,
    root: str,
    static: Mapping[str, str],
    secrets: Secrets,
) -> tuple[bytes, bytes]:
    """
    The page of one task, and the tag that stands for it.

    :param answer: what its endpoint answered last.
    :param past: what the history tells of it.
    :param root: what leads from this page to the overview: ``../`` or a path.
    :param secrets: which must not be seen in `answer`; all else has none.
    """
    task, state = entry.task, entry.state
    verdict = state.verdict or NO_VERDICT
    look, name = LOOKS[state.status], shown(task.name)
    told: list[Tag | str] = [
        tags.span(class_="mark"),
        # Read out when it changes; the time beside it changes all the while, and must not be.
        tags.span(NAMES[state.kind], **{"aria-live": "polite"}),
    ]
    since_when = moment(state.since, now)
    if since_when is not None:
        told.append(tags.span(" · since ", since_when, class_="since"))
    body: list[Tag] = [
        top(
            brand(tags.a("← All tasks", href=root)),
            tags.h1(name),
            tags.p(*told, class_="verdict"),
            tags.p(shown(verdict.explanation), class_="why"),
            tags.p(shown(task.label), class_="label"),
            look=f"task {look}",
        ),
        Tag("main")(
            *_drawn(entry, now),
            *_uptime(past, now),
            tags.div(_schedule(entry, now), _checks(entry, now), class_="columns"),
            *_incidents(entry, past, now),
            *last_answer(answer, task.url, state.report, secrets, now),
            *_reports(entry, past, now),
            id="main",
            **{"data-task": task.id},
        ),
        foot(
            f"Task {task.id}: ",
            tags.a("badge", href=f"{root}badge/{task.id}.svg"),
            ", ",
            tags.a("feed of incidents", href=f"{root}task/{task.id}/feed.atom"),
            ". ",
        ),
    ]
    title = f"{NAMES[state.kind]}: {name} · Py Pinger"
    title = f"(!) {title}" if look == "error" else title
    feed = tags.link(
        rel="alternate",
        type="application/atom+xml",
        title=f"Incidents of {name}",
        href=f"{root}task/{task.id}/feed.atom",
    )
    return await page(request, title, body, root, static, look, now, (feed,))


def _drawn(entry: Entry, now: Instant) -> list[Tag]:
    svg = timeline(entry, now)
    if not svg:
        return []
    kind, report = entry.state.kind, entry.state.report
    keys = [("fine", "on time"), ("grace", "grace"), ("overdue", "overdue")]
    if report is not None and report.sleep:
        keys.append(("nap", "asleep"))
    stale = kind in (Kind.UNREACHABLE, Kind.INVALID)
    words = "Drawn from the last valid report. Times are UTC." if stale else "Times are UTC."
    legend = tags.ul([tags.li(tags.span(class_=f"swatch {look}"), name) for look, name in keys], class_="legend")
    return [card("Time line", *picture(svg), tags.div(legend, tags.p(words), class_="under"))]


def _uptime(past: Past | None, now: Instant) -> list[Tag]:
    if past is None:
        return []
    tiles = tags.dl(
        [
            tags.div(tags.dt(words), tags.dd("–" if (part := past.uptime.get(period)) is None else percent(part)))
            for period, words in _PERIODS.items()
        ],
        class_="tiles",
    )
    ends = tags.p(tags.span("90 days ago"), tags.span("today"), class_="ends")
    return [
        card(
            "On time",
            tiles,
            *([*picture(calendar(past.days, now)), ends] if past.days else []),
            tags.p("Of the time in which it was seen and awake.", class_="quiet"),
        )
    ]


def _schedule(entry: Entry, now: Instant) -> Tag:
    task, report, verdict = entry.task, entry.state.report, entry.state.verdict or NO_VERDICT
    return facts(
        "Schedule",
        ("Last run", moment(None if report is None else report.lastrun, now)),
        ("Runs every", None if report is None else every(report.frequency)),
        ("Due", moment(verdict.due, now)),
        ("Late after", f"{span(task.grace)} of grace"),
        ("Asleep since", moment(verdict.sleep_start, now)),
        ("Asleep until", moment(verdict.sleep_end, now)),
        ("Sleeps daily", _windows(report)),
        ("Next change", upcoming(verdict.next_change, now)),
        ("Process", None if report is None else report.process),
        ("Server", None if report is None else report.server),
        ("Reason", reason_of(entry.state)),
    )


def _whole(text: str) -> str | None:
    """What the banner does not show whole."""
    return text if len(text) > LONG else None


def _checks(entry: Entry, now: Instant) -> Tag:
    task, state = entry.task, entry.state
    return facts(
        "Checks",
        ("Last check", moment(state.checked, now)),
        ("Next check", upcoming(next_check(entry), now)),
        ("Checked every", span(task.interval)),
        ("Took", _latency(state.latency)),
        ("Checks", f"{state.pings:,}"),
        ("With an error", f"{state.errors:,}"),
        ("Errors in a row", f"{state.row:,}" if state.row else None),
        ("Alerts after", f"{count(task.failures, 'error')} in a row" if task.failures > 1 else "the first error"),
        ("Reminds every", span(task.error_interval) if task.error_interval else "never"),
        ("Time limit", span(task.timeout)),
        ("Name", _whole(task.name)),
        ("Address", _whole(task.label)),
    )


def next_check(entry: Entry) -> Instant | None:
    """About when a task is checked next: after its interval, or when its verdict would change by itself."""
    state = entry.state
    if state.checked is None:
        return None
    usual = state.checked + entry.task.interval
    change = None if state.verdict is None else state.verdict.next_change
    return change if change is not None and state.checked < change < usual else usual


def _incidents(entry: Entry, past: Past | None, now: Instant) -> list[Tag]:
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
        return [card("Incidents", unknown("There was none."))]
    deliveries: dict[str, list[PastDelivery]] = {}
    for delivery in past.deliveries:
        deliveries.setdefault(delivery.alert.id, []).append(delivery)
    listed = [_incident(incident, deliveries, now) for incident in past.incidents]
    return [card("Incidents", tags.ol(listed, class_="incidents"))]


def _incident(incident: PastIncident, deliveries: Mapping[str, Sequence[PastDelivery]], now: Instant) -> Tag:
    ended = incident.ended
    kinds = " → ".join(NAMES[kind] for kind in incident.kinds)
    lasted = span(max(0.0, (now if ended is None else ended) - incident.started))
    head = [
        tags.span(class_="mark"),
        tags.strong("Open" if ended is None else "Over"),
        f" · {kinds} · began ",
        moment(incident.started, now),
        f", {'has lasted' if ended is None else 'lasted'} {lasted}",
    ]
    seen = ALERTS if ended is None else 0
    latest, earlier = incident.told[::-1][:seen], incident.told[::-1][seen:]
    of = f"of the incident of {clock(incident.started, now)}"
    folded = tags.details(
        tags.summary(count(len(earlier), "earlier alert" if latest else "alert")),
        _alerts(f"{'Earlier alerts' if latest else 'Alerts'} {of}", earlier, deliveries, now),
    )
    more = incident.alerts - len(incident.told)
    return tags.li(
        tags.p(head, class_="incident"),
        tags.p(shown(incident.explanation), class_="quiet"),
        _alerts(f"Alerts {of}", latest, deliveries, now) if latest else "",
        folded if earlier else "",
        tags.p(f"{count(more, 'more alert')} went to no channel or is not shown.", class_="quiet") if more > 0 else "",
        class_="error" if ended is None else "new",
        # So that the script knows it again, and what was unfolded stays so.
        id=f"incident-{incident.key}",
    )


def _alerts(
    name: str, alerts: Sequence[PastAlert], deliveries: Mapping[str, Sequence[PastDelivery]], now: Instant
) -> Tag:
    rows = [
        tags.tr(
            tags.td(told.event.value),
            tags.td(since(told.at, now), " ", tags.small(clock(told.at, now))),
            tags.td([_delivery(each, now) for each in deliveries.get(told.id, ())] or "–"),
        )
        for told in alerts
    ]
    head = tags.thead(tags.tr([tags.th(name, scope="col") for name in ("Alert", "When", "Deliveries")]))
    return tags.table(head, tags.tbody(rows), class_="small", **{"aria-label": name})


def _delivery(delivery: PastDelivery, now: Instant) -> Tag:
    words = f": “{shown(delivery.words)}”" if delivery.words else ""
    tries = (
        f" after {count(delivery.attempts, 'try')}" if delivery.attempts == 1 else f" after {delivery.attempts} tries"
    )
    settled = [] if delivery.settled is None else [", ", since(delivery.settled, now)]
    return tags.p(
        tags.b(shown(delivery.channel)),
        f" {_OUTCOMES[delivery.outcome]}",
        tries if delivery.attempts else "",
        settled,
        words,
    )


def _reports(entry: Entry, past: Past | None, now: Instant) -> list[Tag]:
    """What the checks found, and the gaps between runs."""
    if past is None:
        return []
    parts: list[Tag] = []
    report = entry.state.report
    drawn = "" if report is None else sparkline(past.gaps, report, entry.task.grace)
    if drawn and report is not None:
        words = f"Gaps between runs; the line is every {every(report.frequency)}, a marked bar a run that came late."
        parts.append(tags.figure(*picture(drawn), tags.figcaption(words)))
    if not past.runs:
        return [card("Reports seen", *parts, unknown("None yet."))]
    # Each alert begins another run, and one after the other would tell the same.
    alike = [(words, tuple(runs)) for words, runs in groupby(past.runs, lambda run: _found(run, now))]
    rows = [
        tags.tr(
            tags.td(
                # It may go back further than what was asked for.
                "before " if len(past.runs) == RUNS and runs[-1] is past.runs[-1] else "",
                since(runs[-1].first, now),
                " ",
                tags.small(clock(runs[-1].first, now)),
            ),
            tags.td(f"{sum(run.count for run in runs):,}"),
            tags.td(words),
        )
        for words, runs in alike[:ROWS]
    ]
    table = tags.table(
        tags.thead(tags.tr([tags.th(name, scope="col") for name in ("First seen", "Checks", "What was found")])),
        tags.tbody(rows),
        class_="small reports",
        **{"aria-labelledby": "reports-seen-title"},
    )
    return [card("Reports seen", *parts, table)]


def _found(run: Run, now: Instant) -> str:
    finding = run.finding
    match finding:
        case Reported():
            report = finding.report
            words = f"{'ok' if report.ok else 'error'}, ran {clock(report.lastrun, now)}"
            words += "" if 200 <= finding.code < 300 else f", HTTP {finding.code}"
            return shown(words + (f": {report.reason}" if report.reason else ""))
        case Invalid():
            return shown(f"HTTP {finding.code}, not a valid report: {finding.problem}")
        case NoAnswer():
            return shown(f"no answer: {finding.words}")


def _windows(report: Report | None) -> Tag | None:
    if report is None or not report.sleep:
        return None
    return tags.ul([tags.li(daily(window)) for window in report.sleep])


def _latency(latency: Seconds | None) -> str | None:
    if latency is None:
        return None
    return f"{number(latency)} s" if latency >= 1 else f"{number(round(latency * 1000, 1))} ms"
