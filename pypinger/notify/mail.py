"""
The mails of the ``[email]`` channel, as MIME messages: headers, plain text and HTML.

The ids of mails depend on alerts and recipients only, so that a mail that is sent again is recognised, and all mails of
an incident are one thread in mail programs, also after a restart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from hashlib import blake2b
from html import escape

from pypinger.domain import wording
from pypinger.domain.model import Alert, Instant
from pypinger.domain.texts import cut, one_line
from pypinger.domain.wording import Severity
from pypinger.notify.text import lines, signature

#: The longest text and subject, in characters.
TEXT_LIMIT = 20_000
SUBJECT_LIMIT = 200

#: The longest list of ids in a header and at the end of the text, in characters.
IDS_LIMIT = 20_000

_COLORS: Mapping[Severity, str] = {
    Severity.PROBLEM: "#c62828",
    Severity.WARNING: "#ef6c00",
    Severity.RECOVERED: "#2e7d32",
    Severity.NEUTRAL: "#757575",
}


class _MessageIds(UnstructuredHeader, BaseHeader):
    """A header of message ids, one a line: Python would encode long ones, and mail programs not recognise them."""

    def fold(self, *, policy: Policy) -> str:
        ids = f"{policy.linesep} ".join(str(self).split())
        return f"{self.name}: {ids}{policy.linesep}"


class _Subject(UnstructuredHeader, BaseHeader):
    """A subject that is encoded as a whole: if only some words are, Python doubles the space at the end of a line."""

    def fold(self, *, policy: Policy) -> str:
        if self.isascii():
            return super().fold(policy=policy)
        encoded = Header(str(self), "utf-8", header_name=self.name).encode(linesep=policy.linesep)
        return f"{self.name}: {encoded}{policy.linesep}"


def _headers() -> HeaderRegistry:
    registry = HeaderRegistry()
    registry.map_to_type("subject", _Subject)
    for name in ("in-reply-to", "references"):
        registry.map_to_type(name, _MessageIds)
    return registry


# Everything in ASCII; lines end in line feeds, which twisted.mail turns into CR LF.
_POLICY = SMTP.clone(cte_type="7bit", linesep="\n", header_factory=_headers())

_LINK = re.compile(r"https?://[!-~]+")


def mail(alerts: Sequence[Alert], sender: Address, recipient: Address, now: Instant) -> bytes:
    """Return one message for one recipient."""
    message = EmailMessage(_POLICY)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = _subject(alerts)
    message["Date"] = datetime.fromtimestamp(now, UTC)
    message["Message-ID"] = message_id(alerts, sender, recipient)
    problems = [_id(alert.problem, sender, recipient) for alert in wording.shown(alerts) if alert.problem]
    others = [each for each in dict.fromkeys(problems) if each != message["Message-ID"]]
    if others:
        message["In-Reply-To"] = others[0]
        message["References"] = " ".join(others)
    message["Auto-Submitted"] = "auto-generated"
    ids = [alert.id for alert in alerts]
    message["X-Pypinger-Alert-Id" if len(ids) == 1 else "X-Pypinger-Alert-Ids"] = _header_ids(ids)
    text, small = lines(wording.plain(alerts, now), TEXT_LIMIT), signature(ids, IDS_LIMIT)
    message.set_content(f"{text}\n\n-- \n{small}\n")
    message.add_alternative(_html(alerts, text, small), subtype="html")
    return message.as_bytes()


def message_id(alerts: Sequence[Alert], sender: Address, recipient: Address) -> str:
    """
    Return the id of a mail, made from the ids of its alerts. Other mails of an incident refer to that of its problem,
    as if it had been a mail of its own.
    """
    cause = alerts[0].id if len(alerts) == 1 else _digest(*(alert.id for alert in alerts))
    return _id(cause, sender, recipient)


def _id(cause: str, sender: Address, recipient: Address) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,64}", cause):
        cause = _digest(cause)
    return f"<{cause}.{_digest(recipient.addr_spec)}@{sender.domain}>"


def _digest(*texts: str) -> str:
    return blake2b("\n".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _subject(alerts: Sequence[Alert]) -> str:
    # What looks like an encoded word would be decoded, line ends and all.
    return cut(one_line(wording.headline(alerts)).replace("=?", "= ?"), SUBJECT_LIMIT)


def _header_ids(ids: Sequence[str]) -> str:
    return signature(ids, IDS_LIMIT).replace("[", "").replace("]", "")


def _html(alerts: Sequence[Alert], text: str, small: str) -> str:
    """Return the text as a small HTML page. Only the task's page and instructions become links."""
    links = {link for alert in wording.shown(alerts) for link in (alert.page, alert.runbook) if link}
    known = sorted((escape(link) for link in links if _LINK.fullmatch(link)), key=len, reverse=True)
    first, *rest = (escape(line) for line in text.split("\n"))
    shown = "<br>\n".join(rest)
    if known:
        shown = re.sub("|".join(map(re.escape, known)), lambda match: f'<a href="{match[0]}">{match[0]}</a>', shown)
    return (
        '<!DOCTYPE html>\n<html><body style="font-family: sans-serif">\n'
        f'<div style="border-left: 4px solid {_COLORS[wording.severity(alerts)]}; padding-left: 12px">\n'
        f"<p><strong>{first}</strong></p>\n<p>{shown}</p>\n</div>\n"
        f'<p style="color: #757575; font-size: small">{escape(small)}</p>\n</body></html>\n'
    )
