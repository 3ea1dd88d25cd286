"""The page of one task: its verdict in words and as a picture, its reports, incidents and alerts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from twisted.web.iweb import IRequest
from twisted.web.template import Tag, tags

from pypinger.domain.kinds import KINDS, Kind
from pypinger.domain.model import Instant, Report, Seconds, Task
from pypinger.domain.moments import due_of, sleep_of
from pypinger.domain.redaction import Secrets
from pypinger.domain.schedule import plan_of
from pypinger.domain.sleep import AWAKE
from pypinger.domain.times import DAY, MINUTE, clock, length, number, span
from pypinger.ports.showing import DaemonState, Entry, LastAnswer
from pypinger.web.formatting import (
    UNSEEN,
    count,
    daily,
    every,
    last_known,
    lasting,
    late_after,
    look_of,
    noticed,
    percent,
    shown,
    since_when,
    standing_of,
    state_of,
    trouble_for,
    until,
    why,
)
from pypinger.web.html.charts import calendar, share
from pypinger.web.html.flags import commands, flags
from pypinger.web.html.following import following, next_check, reminders
from pypinger.web.html.how_to_push import how_to_push
from pypinger.web.html.instances import elsewhere, watcher
from pypinger.web.html.last_answer import last_answer
from pypinger.web.html.layout import age, aged, brand, card, facts, foot, moment, page, picture, top, upcoming
from pypinger.web.html.notices import blind
from pypinger.web.html.task_history import Past, incidents, reports
from pypinger.web.html.timeline import timeline, zone_of
from pypinger.web.html.times import fixed
from pypinger.web.json.objects import NO_VERDICT, reason_of

#: The banner shows a few lines of a name or address; longer ones are repeated below it.
LONG = 80

_PERIODS = {
    "24h": ("24 hours", DAY),
    "7d": ("7 days", 7 * DAY),
    "30d": ("30 days", 30 * DAY),
    "90d": ("90 days", 90 * DAY),
}


async def page_of(
    request: IRequest,
    entry: Entry,
    answer: LastAnswer | None,
    past: Past | None,
    daemon: DaemonState,
    now: Instant,
    root: str,
    static: Mapping[str, str],
    secrets: Secrets,
) -> tuple[bytes, bytes]:
    """
    The page, and its entity tag.

    :param answer: what the task's endpoint answered last.
    :param past: without it the page shows the present alone.
    :param root: the link to the overview: ``../`` or a path.
    :param secrets: masked in `answer`; nothing else on the page holds secrets.
    """
    task, state = entry.task, entry.state
    blinded = daemon.blind is not None
    look, name = look_of(UNSEEN if blinded else standing_of(entry)), shown(entry.name)
    words = "blind" if blinded else state_of(entry)
    on_call, pressing = _on_call(entry), state.incident is not None or entry.muted is not None
    drawn, timed = _timeline(entry, past, now), KINDS[state.kind].timed
    body: list[Tag] = [
        top(
            brand(tags.a("← All tasks", href=root)),
            tags.h1(name),
            tags.p(
                tags.span(class_="mark"),
                # Screen readers announce changes of the status, but not of the time beside it.
                tags.span(words, **{"aria-live": "polite"}),
                *_lasted(entry, daemon, now),
                class_="verdict",
            ),
            *_reasons(entry, daemon, now),
            *following(entry, daemon, now),
            *_flags(entry, now),
            *([tags.p(shown(task.label), class_="label")] if task.label else []),
            look=f"task {look}",
        ),
        Tag("main")(
            *blind(daemon, now),
            *(on_call if pressing else []),
            *(drawn if timed else []),
            *incidents(entry, past, now),
            *last_answer(answer, task.url or "", state.report, secrets, now, elsewhere(entry, daemon)),
            *([] if timed else drawn),
            *_uptime(past, now),
            tags.div(_schedule(entry, now), _checks(entry, daemon, now), class_="columns"),
            *([] if pressing else on_call),
            *how_to_push(task),
            *reports(entry, past, now),
            id="main",
            **{"data-task": task.id},
        ),
        foot(
            f"Task {task.id}: ",
            tags.a("all incidents", href=f"{root}incidents?task={task.id}"),
            ", ",
            tags.a("deliveries of its alerts", href=f"{root}deliveries?task={task.id}"),
            ", ",
            tags.a("badge", href=f"{root}badge/{task.id}.svg"),
            ", ",
            tags.a("feed of incidents", href=f"{root}task/{task.id}/feed.atom"),
            ". ",
        ),
    ]
    title = f"{f'blind, was {last_known(entry)}' if blinded else words}: {name} · Py Pinger"
    title = f"(!) {title}" if look in ("error", "degraded") or daemon.blind is not None else title
    feed = tags.link(
        rel="alternate",
        type="application/atom+xml",
        title=f"Incidents of {name}",
        href=f"{root}task/{task.id}/feed.atom",
    )
    return await page(request, title, body, root, static, look, now, (feed,))


def _lasted(entry: Entry, daemon: DaemonState, now: Instant) -> list[Tag | str]:
    """How long the task has been in its state, and since when."""
    if daemon.blind is not None:
        blind_for = aged(lasting("for {}", daemon.blind, now))
        return [" ", tags.span(blind_for, " ", tags.small(f"since {clock(daemon.blind, now)}"), class_="since")]
    state, since = entry.state, entry.state.since
    if entry.unseen is not None:
        unseen_for = tags.small(aged(lasting("for {}", entry.unseen, now)))
        return [" ", tags.span(f"since {clock(entry.unseen, now)} ", unseen_for, class_="since")]
    lasted = trouble_for(entry, now) or lasting("for {}", since, now)
    if lasted is None:
        return []
    known: list[Tag | str] = [aged(lasted)]
    if (found := noticed(entry, now)) is not None:
        known += " (", aged(found), ")"
    if state.kind is Kind.LATE and state.verdict is not None and state.verdict.due is not None:
        known += " ", tags.small(f"late after {clock(state.verdict.due + entry.task.grace, now)}")
    elif since is not None:
        known += " ", tags.small(f"since {clock(since, now)}")
    return [" ", tags.span(known, class_="since")]


def _reasons(entry: Entry, daemon: DaemonState, now: Instant) -> list[Tag]:
    """The reason alone, or what happens next; then the figures that the verdict rests on."""
    state, verdict = entry.state, entry.state.verdict or NO_VERDICT
    reason, explanation = shown(why(entry)), shown(verdict.explanation)
    first: list[Tag | str] = []
    if entry.unseen is not None or daemon.blind is not None:
        first = [f"Last known state: {last_known(entry)}", f", {reason}" if reason else ""]
    elif (late := late_after(entry)) is not None and verdict.due is not None:
        soon = until("becomes late in {}", late, now) if now >= verdict.due else until("due in {}", verdict.due, now)
        first = [aged(soon), f", late after {clock(late, now)}"]
    elif state.kind is Kind.SLEEPING:
        wakes = until("wakes in {}", verdict.sleep_end, now)
        first = ["sleeps all day" if wakes is None else aged(wakes)]
    elif state.kind is Kind.LATE and state.report is not None:
        ran = lasting("no run for {}", state.report.lastrun, now)
        first = ["no run has ended yet" if ran is None else aged(ran), f"; {reason}" if reason else ""]
    elif reason:
        first = [reason]
    lines = [tags.p(*first, class_="reason")] if first else []
    if reason:
        # It stands above.
        explanation = explanation.removeprefix(f'the task reports an error: "{reason}"; ')
    if not (reason and explanation.endswith(reason)):
        explained: list[Tag | str] = [explanation]
        if state.kind not in (Kind.LATE, Kind.FUTURE) and (known := age(entry, now)) is not None:
            explained += " (", known, ")"
        lines.append(tags.p(*explained, class_="why"))
    return lines


def _flags(entry: Entry, now: Instant) -> list[Tag]:
    found = flags(entry, now)
    lines = [tags.li(tags.strong(flag.words), flag.details, class_=f"flag {flag.look}") for flag in found]
    return [tags.ul(lines, class_="flags", **{"aria-label": "Alerts of this task"})] if lines else []


def _on_call(entry: Entry) -> list[Tag]:
    """What helps those who take care of the task; nothing if there is nothing to read or to type."""
    task = entry.task
    lines = [
        tags.li(tags.code(command.line, class_="command"), " ", tags.span(command.words, class_="quiet"))
        for command in commands(entry)
    ]
    known = [("Runbook", _link(task.runbook)), ("Note", shown(task.note)), ("Group", shown(task.group))]
    listed = [tags.div(tags.dt(name), tags.dd(value)) for name, value in known if value]
    parts = [*([tags.dl(listed)] if listed else []), *([tags.ul(lines, class_="commands")] if lines else [])]
    return [card("On call", *parts)] if parts else []


def _link(address: str | None) -> Tag | str:
    if address is None or not address.startswith(("http://", "https://")):
        return shown(address or "")
    return tags.a(shown(address), href=address, rel="noreferrer")


def _timeline(entry: Entry, past: Past | None, now: Instant) -> list[Tag]:
    svg = timeline(entry, now, () if past is None else past.runs)
    if not svg:
        return []
    kind, report = entry.state.kind, entry.state.report
    plan = plan_of(entry.task, report)
    keys = [("fine", "on time"), ("grace", "grace"), ("overdue", "overdue")]
    if report is not None and not report.ok:
        keys = [("grace", "grace"), ("overdue", "failed, or overdue")]
    if plan.sleep is not AWAKE:
        keys.append(("nap", "asleep"))
    if report is not None and report.started is not None:
        keys.append(("ran", "a run"))
    if plan.cron is not None:
        keys.append(("slot", "scheduled"))
    zone = zone_of(plan)[1]
    times = "Times are UTC." if zone == "UTC" else f"Times are local in {zone}."
    stale = kind in (Kind.UNREACHABLE, Kind.INVALID)
    words = f"Drawn from the last valid report. {times}" if stale else times
    legend = tags.ul([tags.li(tags.span(class_=f"swatch {look}"), name) for look, name in keys], class_="legend")
    return [card("Timeline", *picture(svg), tags.div(legend, tags.p(words), class_="under"))]


def _uptime(past: Past | None, now: Instant) -> list[Tag]:
    if past is None:
        return []
    ends = tags.p(tags.span("90 days ago"), tags.span("today"), class_="ends")
    return [
        card(
            "Uptime",
            tags.dl([tags.div(tags.dt(name), tags.dd(words)) for name, words in _tiles(past, now)], class_="tiles"),
            *([*picture(calendar(past.days, now)), ends] if past.days else []),
            tags.p("The share of time on time. Sleep, and time without checks, do not count.", class_="quiet"),
        )
    ]


def _tiles(past: Past, now: Instant) -> Iterator[tuple[str | list[Tag | str], str]]:
    """The periods that the history covers, and the time since it begins if that is shorter than 90 days."""
    begins, part = past.begins, share(past.days)
    for period, (words, lasts) in _PERIODS.items():
        # Old history is deleted some time after it is old enough.
        if begins is None or now - begins >= lasts - lasts / 90:
            known = past.uptime.get(period)
            yield words, "–" if known is None or begins is None else percent(known)
            continue
        if part is not None:
            yield ["since ", fixed(begins, since_when(begins, now))], percent(part)
        return


def _schedule(entry: Entry, now: Instant) -> Tag:
    task, report, verdict = entry.task, entry.state.report, entry.state.verdict or NO_VERDICT
    plan, sleep = plan_of(task, report), sleep_of(task, entry.state)
    return facts(
        "Schedule",
        ("Last run", moment(None if report is None else report.lastrun, now)),
        ("Running since", moment(report.started if report is not None and report.running else None, now)),
        ("Runs every", None if plan.frequency is None else every(plan.frequency / MINUTE)),
        ("Runs", None if plan.cron is None else plan.words),
        ("May take", None if plan.max_runtime is None else length(plan.max_runtime)),
        ("Due", moment(due_of(task, entry.state), now)),
        ("Late after", moment(late_after(entry), now)),
        ("Grace", span(task.grace)),
        ("Asleep since", moment(None if sleep is None else sleep.start, now)),
        ("Asleep until", moment(None if sleep is None else sleep.end, now)),
        ("Sleeps daily", _windows(task, report)),
        ("Next change", upcoming(verdict.next_change, now)),
        ("Process", None if report is None else report.process),
        ("Server", None if report is None else report.server),
        ("Reason", reason_of(entry.state)),
    )


def _checks(entry: Entry, daemon: DaemonState, now: Instant) -> Tag:
    task, state = entry.task, entry.state
    return facts(
        "Checks",
        ("Instance", watcher(entry, daemon)),
        *(() if task.url is None else _fetching(entry, now)),
        *((("Last push", moment(entry.seen, now)),) if task.url is None else ()),
        ("Pushes" if task.url is None else "Checks", f"{state.pings:,}"),
        ("With errors", f"{state.errors:,}"),
        ("Errors in a row", f"{state.row:,}" if state.row else None),
        ("Alerts after", f"{count(task.failures, 'error')} in a row" if task.failures > 1 else "the first error"),
        ("Unreachable for", f"{span(task.unreachable_for)} before it is alerted" if task.unreachable_for else None),
        ("Reminders", reminders(task)),
        ("Timeout", None if task.url is None else span(task.timeout)),
        ("Name", _if_long(entry.name)),
        ("Address", _if_long(task.label)),
    )


def _fetching(entry: Entry, now: Instant) -> tuple[tuple[str, Tag | str | None], ...]:
    task, state = entry.task, entry.state
    return (
        ("Last check", moment(state.checked, now)),
        ("Last answer", moment(entry.seen, now)),
        ("Next check", upcoming(next_check(entry), now)),
        ("Interval", span(task.interval)),
        ("Latency", _latency(state.latency)),
    )


def _if_long(text: str) -> str | None:
    return text if len(text) > LONG else None


def _windows(task: Task, report: Report | None) -> Tag | None:
    zone, windows = "UTC", () if report is None else report.sleep
    if task.sleep is not None:
        zone, windows = task.timezone or "UTC", task.sleep
    return tags.ul([tags.li(daily(window, zone)) for window in windows]) if windows else None


def _latency(latency: Seconds | None) -> str | None:
    if latency is None:
        return None
    return f"{number(latency)} s" if latency >= 1 else f"{number(round(latency * 1000, 1))} ms"
