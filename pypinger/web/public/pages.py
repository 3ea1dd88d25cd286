"""The public page as JSON and HTML: see Note [What is public] in the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from twisted.web.iweb import IRequest
from twisted.web.template import Tag, tags

from pypinger.domain.model import Instant
from pypinger.domain.times import clock, iso, span
from pypinger.web.formatting import UNSEEN, count, lasting, look_of, percent, shown
from pypinger.web.html.charts import strip
from pypinger.web.html.layout import aged, brand, card, foot, moment, page, picture, stylesheet, top
from pypinger.web.json.history import UptimeObject
from pypinger.web.json.objects import Time
from pypinger.web.public.tasks import PERIODS, PublicIncident, PublicPart, PublicTask, PublicUptime

#: The words for each standing.
WORDS: dict[str, str] = {
    "error": "in trouble",
    UNSEEN: "not seen",
    "new": "not checked yet",
    "ok": "on time",
    "sleeping": "asleep",
}

_PERIODS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}


class PublicTaskObject(msgspec.Struct, frozen=True):
    """
    A task as the public may see it.

    `status` is ``ok``, ``error``, ``sleeping``, ``unseen`` or ``new``; `since` is when its open incident began.
    """

    name: str
    status: str
    since: Time | None
    uptime: UptimeObject


class PublicIncidentObject(msgspec.Struct, frozen=True):
    """An incident; `ended` is null while it is open."""

    name: str
    started: Time | None
    ended: Time | None


class PublicObject(msgspec.Struct, frozen=True):
    """The public page; `blind` is since when the states may be outdated."""

    data: list[PublicTaskObject]
    incidents: list[PublicIncidentObject]
    blind: Time | None
    next: str | None


def json(part: PublicPart, now: Instant) -> bytes:
    """One page as JSON."""
    tasks = [
        PublicTaskObject(
            shown(task.name),
            task.standing,
            iso(task.since),
            UptimeObject(*(_covered(task.uptime, period, now) for period in PERIODS)),
        )
        for task in part.tasks
    ]
    incidents = [PublicIncidentObject(shown(each.name), iso(each.started), iso(each.ended)) for each in part.incidents]
    following = f"?page={part.page + 1}" if part.page < part.pages else None
    return msgspec.json.encode(PublicObject(tasks, incidents, iso(part.blind), following))


async def html(request: IRequest, part: PublicPart, now: Instant, static: Mapping[str, str]) -> tuple[bytes, bytes]:
    """One page as HTML, and its entity tag."""
    heading, look = _summary(part)
    outdated: list[Tag] = []
    if part.blind is not None and part.tasks:
        blind = aged(lasting("for {}", part.blind, now))
        known = ", ".join(f"{many:,} {WORDS[standing]}" for standing in WORDS if (many := part.counts.get(standing)))
        outdated = [
            tags.p("There has been no contact with them ", blind, f" (since {clock(part.blind, now)})."),
            tags.p(f"These are the last known states: {known}.", class_="quiet"),
        ]
    main: list[Tag] = [
        tags.section(
            tags.table(
                tags.thead(tags.tr([tags.th(name, scope="col") for name in ("Status", "Task", "Uptime", "90 days")])),
                tags.tbody([_row(task, part.blind is not None, now) for task in part.tasks]),
                class_="states",
                **{"aria-label": "Tasks"},
            ),
            class_="past",
            id="list",
        )
        if part.tasks
        else tags.p("There is nothing to show.", class_="plain"),
        *_pager(part),
        *_incidents(part.incidents, now),
    ]
    body: list[Tag] = [
        top(
            brand("Status"),
            tags.h1(tags.span(class_="mark"), heading, **{"aria-live": "polite"}),
            *outdated,
            look=look,
        ),
        Tag("main")(*main, id="main"),
        foot(),
    ]
    links = (stylesheet("./" + static["lists.css"]),)
    return await page(request, f"{heading} · Status", body, "./", static, look, now, links, live=False)


def _summary(part: PublicPart) -> tuple[str, str]:
    counts, total = part.counts, sum(part.counts.values())
    if not total:
        return "Status", "new"
    if part.blind is not None:
        return "The tasks cannot be seen", "degraded"
    of = f" of {count(total, 'task')} "
    for standing, look in (("error", "error"), (UNSEEN, "degraded"), ("new", "new")):
        if many := counts.get(standing):
            return f"{many:,}{of}{WORDS[standing]}", look
    return "All tasks on time", "ok"


def _row(task: PublicTask, blind: bool, now: Instant) -> Tag:
    state, since, standing = WORDS[task.standing], tags.transparent(), task.standing
    if blind:
        state, since, standing = WORDS[UNSEEN], tags.small(f" was {state}", class_="since"), UNSEEN
    elif task.standing == "error" and (lasted := lasting("for {}", task.since, now)) is not None:
        since = tags.small(" ", aged(lasted), class_="since")
    days = [] if task.uptime is None else picture(strip(task.uptime.days, now))
    return tags.tr(
        tags.td(tags.span(class_="mark"), state, since, class_="kind"),
        tags.th(shown(task.name), scope="row"),
        tags.td(_uptime(task.uptime, now), class_="uptime"),
        tags.td(days or "–", class_="days"),
        class_=look_of(standing),
    )


def _uptime(uptime: PublicUptime | None, now: Instant) -> Tag | str:
    """The uptime of each period that the history covers, and of all that is known where that is less."""
    if uptime is None:
        return "–"
    parts = [
        (percent(share), _PERIODS[period]) for period in PERIODS if (share := _covered(uptime, period, now)) is not None
    ]
    known = uptime.shares.get("90d")
    if known is not None and uptime.begins is not None and _covered(uptime, "90d", now) is None:
        parts.append((percent(known), f"since {clock(uptime.begins, now)}"))
    return tags.ul([tags.li(tags.b(share), " ", tags.small(words)) for share, words in parts]) if parts else "–"


def _covered(uptime: PublicUptime | None, period: str, now: Instant) -> float | None:
    """The share of a period, if the history covers it."""
    if uptime is None or uptime.begins is None or uptime.begins > now - PERIODS[period]:
        return None
    return uptime.shares.get(period)


def _incidents(incidents: Sequence[PublicIncident], now: Instant) -> list[Tag]:
    if not incidents:
        return []
    rows = [
        tags.tr(
            tags.td(tags.span(class_="mark"), "open" if each.ended is None else "over", class_="kind"),
            tags.th(shown(each.name), scope="row"),
            tags.td(moment(each.started, now) or "–"),
            tags.td(
                aged(lasting("{} so far", each.started, now))
                if each.ended is None
                else span(max(0.0, each.ended - each.started))
            ),
            class_="error" if each.ended is None else "new",
        )
        for each in incidents
    ]
    head = tags.thead(tags.tr([tags.th(name, scope="col") for name in ("State", "Task", "Began", "Lasted")]))
    table = tags.table(head, tags.tbody(rows), class_="small", **{"aria-labelledby": "incidents-title"})
    return [card("Incidents", table)]


def _pager(part: PublicPart) -> list[Tag]:
    if part.pages == 1:
        return []
    return [
        tags.nav(
            tags.a("← Previous", href=f"?page={part.page - 1}", rel="prev") if part.page > 1 else "",
            tags.span(f"{part.page:,} of {part.pages:,}"),
            tags.a("Next →", href=f"?page={part.page + 1}", rel="next") if part.page < part.pages else "",
            class_="pager",
            id="pager",
            **{"aria-label": "Pages"},
        )
    ]
