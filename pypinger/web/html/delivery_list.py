"""The page of deliveries: what became of each alert in each channel."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.template import Tag, tags

from pypinger.domain.model import Outcome
from pypinger.ports.history import PastDelivery
from pypinger.web.formatting import count, shown
from pypinger.web.html.layout import moment
from pypinger.web.html.listing import Frame, Listing, choice_field, list_page, table_of, task_link, text_field
from pypinger.web.past.filters import EVENTS

COLUMNS = ("Outcome", "Task", "Alert", "Channel", "Made", "Latest attempt", "Answer")

#: How each outcome is called, in the filter too.
WORDS: dict[str, str] = {
    "pending": "pending",
    "dead": "given up",
    "sent": "sent",
    "replaced": "replaced by a newer one",
}

_LOOKS = {"pending": "degraded", "dead": "error", "sent": "ok", "replaced": "new"}


async def page_of(
    frame: Frame, listing: Listing, deliveries: Sequence[PastDelivery], channels: Sequence[str]
) -> tuple[bytes, bytes]:
    """
    The page, and its entity tag.

    :param channels: the names of all channels.
    """
    daemon = frame.board.daemon()
    fields = [
        text_field(listing, "task", "Task", "Name, URL or selector"),
        choice_field(listing, "event", "Alert", {event.value: event.value for event in EVENTS}),
        choice_field(listing, "channel", "Channel", {name: name for name in channels}),
        choice_field(listing, "outcome", "Outcome", WORDS),
        text_field(listing, "since", "Since", "7d or 2026-03-01", times=True),
        text_field(listing, "until", "Until", "24h or 2026-03-08", times=True),
    ]
    words: list[Tag | str] = []
    for outcome, many in (("pending", daemon.undelivered), ("dead", daemon.dead)):
        if many:
            link = tags.a(count(many, "alert"), href=Listing("deliveries", {"outcome": outcome}).link(frame.root))
            words += [link, f" {WORDS[outcome]}. "]
    table = table_of(listing, COLUMNS, [_row(frame, delivery) for delivery in deliveries])
    return await list_page(
        frame, listing, [tags.p(*words or ["No alert is pending or given up."])], _dead(daemon.dead), fields, table
    )


def outcome_of(delivery: PastDelivery) -> str:
    """The outcome of a delivery: a key of :data:`WORDS`."""
    if delivery.outcome is None or delivery.outcome is Outcome.RETRY:
        return "pending"
    return delivery.outcome.value


def _dead(many: int) -> list[Tag]:
    if not many:
        return []
    words = f"{count(many, 'alert')} {'was' if many == 1 else 'were'} given up. "
    them = "it" if many == 1 else "them"
    lines = [tags.p(tags.strong(words), f"Once the channel works again, send {them} with: ")]
    lines.append(tags.p(tags.code("pypinger resend", class_="command")))
    return [tags.section(lines, class_="notice", id="given-up", **{"aria-label": "Alerts that were given up"})]


def _row(frame: Frame, delivery: PastDelivery) -> Tag:
    alert, now, outcome = delivery.alert, frame.now, outcome_of(delivery)
    of = tags.span("Py Pinger") if delivery.task is None else task_link(frame, delivery.task, alert.name)
    tried = count(delivery.attempts, "attempt") if delivery.attempts > 1 else ""
    answer = shown(delivery.words) if delivery.words else ("not tried yet" if not delivery.attempts else "–")
    return tags.tr(
        tags.td(tags.span(class_="mark"), WORDS[outcome].partition(" by")[0], class_="kind"),
        tags.th(of, scope="row"),
        tags.td(tags.b(alert.event.value), tags.span(shown(alert.explanation)), class_="why"),
        tags.td(shown(delivery.channel), class_="channel", **{"data-label": "Channel"}),
        tags.td(moment(alert.at, now) or "–", class_="when", **{"data-label": "Made"}),
        tags.td(
            moment(delivery.settled, now) or "–",
            tags.small(f" {tried}") if tried else "",
            class_="when",
            **{"data-label": "Latest attempt"},
        ),
        tags.td(tags.span(answer), class_="answer", **{"data-label": "Answer"}),
        class_=_LOOKS[outcome],
        id=f"delivery-{delivery.key}",
    )
