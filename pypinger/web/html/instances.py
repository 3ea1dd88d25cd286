"""The panel of the instances that share the tasks, and what a task's page says of them."""

from __future__ import annotations

from twisted.web.template import Tag, tags

from pypinger.domain.kinds import Status
from pypinger.domain.model import Instant
from pypinger.domain.times import clock
from pypinger.ports.sharing import Instance
from pypinger.ports.showing import DaemonState, Entry, Sharing
from pypinger.web import instances
from pypinger.web.formatting import count, lasting, shown
from pypinger.web.html.groups import group_key
from pypinger.web.html.layout import aged
from pypinger.web.html.view import View


def panel(daemon: DaemonState, now: Instant) -> list[Tag]:
    """All instances, as one line that unfolds; nothing on a single machine."""
    sharing = daemon.sharing
    if sharing is None or not sharing.members:
        return []
    troubles = instances.troubles(sharing, now)
    look = "degraded" if troubles or sharing.away is not None else "ok"
    words = "; ".join(troubles) or instances.shares(sharing)
    known = "as last known: " if sharing.away is not None else ""
    different = {each.id for each in instances.different(sharing)}
    versions = len({each.health.version for each in sharing.members}) > 1
    return [
        tags.details(
            tags.summary(
                tags.span(class_="mark"),
                tags.h2(instances.heading(sharing), id="instances-title"),
                tags.span(known, shown(words), class_="quiet"),
                class_=look,
            ),
            tags.ul(
                [
                    _member(each, sharing, now, different=each.id in different, versions=versions)
                    for each in sharing.members
                ],
                **{"aria-labelledby": "instances-title"},
            ),
            id="instances",
            class_="group instances",
        )
    ]


def watcher(entry: Entry, daemon: DaemonState) -> str | None:
    """Which instance watches a task; None on a single machine."""
    if daemon.sharing is None:
        return None
    if entry.owner is None:
        return "none at the moment"
    return f"{entry.owner} (this one)" if entry.owner == daemon.sharing.here else entry.owner


def elsewhere(entry: Entry, daemon: DaemonState) -> str:
    """Where the latest answer of a task is, if another instance watches it; else empty."""
    if daemon.sharing is None or entry.owner is None or entry.owner == daemon.sharing.here:
        return ""
    what = "push" if entry.task.url is None else "answer"
    return f"Instance {shown(entry.owner)} watches this task. The latest {what} is on its page there."


def away(sharing: Sharing, now: Instant) -> list[Tag | str]:
    """Since when the database has been away, and what that means."""
    since = sharing.away
    if since is None:
        return []
    return [
        tags.strong("The database is away "),
        aged(lasting("for {}", since, now)),
        f" (since {clock(since, now)})",
        f": {shown(sharing.words.removeprefix('the database '))}. " if sharing.words else ". ",
        f"Without it instance {shown(sharing.here)} checks no task and sends no alert; it continues by itself.",
    ]


def _member(member: Instance, sharing: Sharing, now: Instant, *, different: bool, versions: bool) -> Tag:
    health = member.health
    state: list[Tag | str] = ["fine"]
    look = "ok"
    if sharing.away is not None:
        # What is known of the others is what the database said last.
        look, state = ("degraded", ["has no database"]) if member.name == sharing.here else ("new", ["not known"])
    elif health.blind is not None:
        look, state = "degraded", [aged(lasting("blind for {}", health.blind, now))]
    elif health.status is Status.ERROR:
        look, state = "error", [f"in trouble: {shown(health.explanation)}"]
    link = f"{View(by='instance').link}#{group_key('instance', member.name)}"
    sends = f"sends through {', '.join(map(shown, member.channels))}" if member.channels else "sends through no channel"
    facts: list[Tag | str] = [
        tags.span(tags.a(f"watches {count(member.tasks, 'task')}", href=link)),
        tags.span(sends),
        tags.span(f"since {clock(member.joined, now)} (", aged(lasting("{}", member.joined, now)), ")"),
    ]
    if versions:
        facts.append(tags.span(f"version {shown(health.version)}"))
    if different:
        facts.append(tags.span("reads another ini file", class_="other"))
    return tags.li(
        tags.span(class_="mark"),
        tags.b(shown(instances.name(member, sharing))),
        tags.span(state, class_="word"),
        facts,
        class_=look,
    )
