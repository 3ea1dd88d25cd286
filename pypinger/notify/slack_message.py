"""
The messages of Slack: the headline, linked to the task's page, and below it the rest beside a coloured bar.

``text`` repeats all of it, for notifications and for services without blocks. Texts from reports are escaped and put
into ``plain_text`` objects where possible, so that they can neither mention anyone nor forge a link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pypinger.domain import standing, wording
from pypinger.domain.model import Alert, Instant
from pypinger.domain.wording import Severity
from pypinger.notify.text import escape, signature

#: Characters that Slack accepts in ``text``, and in one text object of a block, the headline's link included.
TEXT_LIMIT = 4_000
BLOCK_LIMIT = 3_000

#: Characters in all blocks of a message. Slack does not document this limit, but refuses a little more than 12,000, and
#: the blocks themselves count too.
MESSAGE_LIMIT = 10_000

_PAGE_LIMIT = 2_000
_HEADLINE_LIMIT = 800
_ROW_LIMIT = 200
_ROWS_LIMIT = 6_000
_IDS_LIMIT = 2_000
_METADATA_LIMIT = 4_000

_COLORS: Mapping[Severity, str] = {
    Severity.PROBLEM: "#d92d20",
    Severity.WARNING: "#f5b301",
    Severity.RECOVERED: "#2e9e4f",
    Severity.NEUTRAL: "#8a94a0",
}


def alert_message(alerts: Sequence[Alert], now: Instant, *, signed: bool) -> dict[str, object]:
    """
    Return a message for one alert or a group.

    :param now: when it is sent, for ages.
    :param signed: whether the alerts' ids are at the end of the text; else they are in the metadata.
    """
    ids = [alert.id for alert in alerts]
    text = wording.plain(alerts, now)
    message: dict[str, object] = {
        **_body(alerts, wording.headline(alerts), text),
        "unfurl_links": False,
        "unfurl_media": False,
        "link_names": False,
    }
    if signed:
        signed_text = "\n" + escape(signature(ids, _IDS_LIMIT), _IDS_LIMIT)
        message["text"] = escape(text, TEXT_LIMIT - len(signed_text)) + signed_text
    else:
        message["metadata"] = {"event_type": "py_pinger_alert", "event_payload": _payload(ids)}
        message["text"] = escape(text, TEXT_LIMIT)
    return message


def present_state(alerts: Sequence[Alert]) -> dict[str, object]:
    """
    Return what a message becomes when its incidents change.

    :param alerts: the latest alert of each incident.
    """
    alerts = standing.worst_first(alerts)
    text = standing.plain(alerts)
    return {
        **_body(alerts, standing.headline(alerts), text),
        "text": escape(text, TEXT_LIMIT),
        "link_names": False,
    }


def _body(alerts: Sequence[Alert], headline: str, text: str) -> dict[str, object]:
    words = escape(headline, _HEADLINE_LIMIT)
    linked = _linked(alerts[0].page, words) if len(alerts) == 1 else _plain_text(words)
    return {"blocks": [_section(linked)], "attachments": [_attachment(alerts, words, text)]}


def _payload(ids: Sequence[str]) -> dict[str, str]:
    """Return the alert's id; for a storm the id of its first alert, and as many of all ids as fit."""
    if len(ids) == 1:
        return {"alert_id": ids[0]}
    listed = " ".join(ids)
    if len(listed) > _METADATA_LIMIT:
        listed = listed[:_METADATA_LIMIT].rpartition(" ")[0]
    return {"alert_id": ids[0], "alert_ids": listed}


def _attachment(alerts: Sequence[Alert], headline: str, text: str) -> dict[str, object]:
    if len(alerts) == 1:
        blocks, room = _single(alerts[0], text), _IDS_LIMIT
    else:
        rows = _filled(_rows(alerts), "\n")
        blocks = [_section({"type": "mrkdwn", "text": each, "verbatim": True}) for each in rows]
        room = MESSAGE_LIMIT - len(headline) - sum(map(len, rows))
    ids = escape(signature([alert.id for alert in alerts], room), room).split(" ")
    blocks += [{"type": "context", "elements": [_plain_text(each)]} for each in _filled(ids, " ")]
    return {"color": _COLORS[wording.severity(alerts)], "fallback": headline, "blocks": blocks}


def _single(alert: Alert, text: str) -> list[dict[str, object]]:
    """Return what `text` says below the headline, which has the link to the page."""
    rest = text.partition("\n")[2]
    if alert.page:
        rest = rest.removesuffix(alert.page)
    shown = escape(rest.strip(), BLOCK_LIMIT)
    return [_section(_plain_text(shown))] if shown else []


def _rows(alerts: Sequence[Alert]) -> list[str]:
    """Return the tasks that the text names, as many of them linked to their pages as there is room for."""
    named = wording.shown(alerts)
    rows = [escape(wording.row(alert), _ROW_LIMIT) for alert in named]
    room = _ROWS_LIMIT - sum(map(len, rows))
    for number, alert in enumerate(named):
        linked = str(_linked(alert.page, rows[number])["text"])
        if len(linked) - len(rows[number]) <= room:
            room -= len(linked) - len(rows[number])
            rows[number] = linked
    more = [f"and {len(alerts) - len(named):,} more"] if len(alerts) > len(named) else []
    return [f"• {row}" for row in rows] + more


def _filled(parts: Sequence[str], between: str) -> list[str]:
    """Join the parts into as few texts as they fit into; no part is longer than a text may be."""
    texts = [parts[0]]
    for part in parts[1:]:
        if len(texts[-1]) + len(between) + len(part) <= BLOCK_LIMIT:
            texts[-1] += between + part
        else:
            texts.append(part)
    return texts


def _linked(page: str | None, words: str) -> dict[str, object]:
    """Return a text object of escaped words, a link if the page is known; ``verbatim`` allows no other link."""
    url = escape(page or "", _PAGE_LIMIT + 1).replace("|", "%7C")
    if not url or len(url) > _PAGE_LIMIT:
        return _plain_text(words)
    return {"type": "mrkdwn", "text": f"<{url}|{words}>", "verbatim": True}


def _section(text: dict[str, object]) -> dict[str, object]:
    return {"type": "section", "text": text}


def _plain_text(text: str) -> dict[str, object]:
    return {"type": "plain_text", "text": text, "emoji": False}
