"""
The ``[slack]`` channel: the Web API's ``chat.postMessage``, or an incoming webhook (contract, section 5).

A message has the headline, linked to the task's page, and below it the rest beside a coloured bar. ``text`` repeats all
of it, for notifications and for services without blocks. Texts from reports are escaped and put into ``plain_text``
objects where possible, so that they can neither mention anyone nor forge a link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pypinger.domain import wording
from pypinger.domain.model import Alert, Seconds
from pypinger.domain.redaction import secret_parts
from pypinger.domain.wording import Severity
from pypinger.notify.post import Poster, json_object, status_words, succeeded, unfit_for_header
from pypinger.notify.text import escape, signature
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import HttpClient, OptionSpec, Reply

WEB_API = "/api/chat.postMessage"
DEFAULT_URL = f"https://slack.com{WEB_API}"

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

# Errors of the Web API that the same message would get again until someone changes the settings or the workspace. After
# all others, known and unknown, the message is retried: an alert sent late is better than an alert lost.
_PERMANENT = frozenset(
    {
        "access_denied",
        "account_inactive",
        "as_user_not_supported",
        "attachment_payload_limit_exceeded",
        "channel_not_found",
        "channel_type_not_supported",
        "deprecated_endpoint",
        "ekm_access_denied",
        "enterprise_is_restricted",
        "invalid_arg_name",
        "invalid_arguments",
        "invalid_array_arg",
        "invalid_attachments",
        "invalid_auth",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_charset",
        "invalid_form_data",
        "invalid_json",
        "invalid_metadata_format",
        "invalid_metadata_schema",
        "invalid_post_type",
        "is_archived",
        "json_not_object",
        "messages_tab_disabled",
        "metadata_must_be_sent_from_app",
        "metadata_too_large",
        "method_deprecated",
        "missing_post_type",
        "missing_scope",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_permission",
        "no_text",
        "not_allowed_token_type",
        "not_authed",
        "not_in_channel",
        "restricted_action",
        "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel",
        "restricted_action_thread_only_channel",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
        "too_many_attachments",
        "two_factor_setup_required",
        "unknown_method",
        "user_not_found",
    }
)


class Slack:
    """
    A :class:`pypinger.ports.notifying.Notifier` for one Slack channel.

    :param values: the section's options.
    """

    name = "slack"
    spacing: Seconds = 1.0
    groups = True

    def __init__(self, values: Mapping[str, str], client: HttpClient, now: WallClock) -> None:
        self._url = _url(values)
        self._web_api = _is_web_api(values)
        self._headers = {"Authorization": f"Bearer {values['token']}"} if self._web_api else {}
        self._now = now
        self._poster = Poster(client, now, [values["token"], *(() if self._web_api else secret_parts(self._url))])
        emoji = values["emoji"].strip(":")
        looks = {"channel": values["channel"], "username": values["user"], "icon_emoji": emoji and f":{emoji}:"}
        self._looks = {key: value for key, value in looks.items() if value}

    async def send(self, alerts: Sequence[Alert]) -> str:
        reply = await self._poster.post(self._url, headers=self._headers, json=self._message(alerts))
        if self._web_api:
            return self._web_api_answer(reply)
        if succeeded(reply):
            return status_words(reply.code)
        words = reply.body.decode("utf-8", "replace")
        # A middlebox answers with a page; Slack answers with a word.
        raise self._poster.refused(reply, "" if words.lstrip().startswith("<") else words)

    def _message(self, alerts: Sequence[Alert]) -> dict[str, object]:
        ids = [alert.id for alert in alerts]
        text = wording.plain(alerts, self._now())
        message: dict[str, object] = {
            **self._looks,
            "blocks": [_section(_headline(alerts))],
            "attachments": [_attachment(alerts, text)],
            "unfurl_links": False,
            "unfurl_media": False,
            "link_names": False,
        }
        if self._web_api:
            message["metadata"] = {"event_type": "py_pinger_alert", "event_payload": _payload(ids)}
            message["text"] = escape(text, TEXT_LIMIT)
        else:
            signed = "\n" + escape(signature(ids, _IDS_LIMIT), _IDS_LIMIT)
            message["text"] = escape(text, TEXT_LIMIT - len(signed)) + signed
        return message

    def _web_api_answer(self, reply: Reply) -> str:
        answer = json_object(reply.body)
        if succeeded(reply) and answer.get("ok") is True:
            return "ok"
        error = answer.get("error")
        if not isinstance(error, str):
            words = "" if not succeeded(reply) else f"{status_words(reply.code)}, but the answer is not from Slack"
            raise self._poster.refused(reply, words)
        permanent = None
        if error in _PERMANENT:
            permanent = True
        elif succeeded(reply):
            permanent = False
        raise self._poster.refused(reply, error + _details(answer), permanent=permanent)


class SlackChannel:
    """The section ``[slack]``."""

    name = "slack"
    options = (
        OptionSpec("url", form="url", default=DEFAULT_URL, secret=True),
        OptionSpec("channel"),
        OptionSpec("token", secret=True),
        OptionSpec("user"),
        OptionSpec("emoji"),
    )

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        return ("channel", "token") if _is_web_api(values) else ("url",)

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        return unfit_for_header(values, "token")

    def notifier(self, values: Mapping[str, str], client: HttpClient, now: WallClock) -> Slack:
        return Slack(values, client, now)


CHANNEL = SlackChannel()


def _url(values: Mapping[str, str]) -> str:
    return values.get("url") or DEFAULT_URL


def _is_web_api(values: Mapping[str, str]) -> bool:
    return _url(values).endswith(WEB_API)


def _details(answer: Mapping[str, object]) -> str:
    """Return what Slack adds to an error's name: the missing scope, or the part of the message that it refuses."""
    if isinstance(needed := answer.get("needed"), str):
        return f" (needed: {needed})"
    metadata = answer.get("response_metadata")
    messages = metadata.get("messages") if isinstance(metadata, dict) else None
    return f" ({messages[0]})" if isinstance(messages, list) and messages else ""


def _payload(ids: Sequence[str]) -> dict[str, str]:
    """Return the alert's id; for a storm the id of its first alert, and as many of all ids as fit."""
    if len(ids) == 1:
        return {"alert_id": ids[0]}
    listed = " ".join(ids)
    if len(listed) > _METADATA_LIMIT:
        listed = listed[:_METADATA_LIMIT].rpartition(" ")[0]
    return {"alert_id": ids[0], "alert_ids": listed}


def _headline(alerts: Sequence[Alert]) -> dict[str, object]:
    words = escape(wording.headline(alerts), _HEADLINE_LIMIT)
    return _linked(alerts[0].page, words) if len(alerts) == 1 else _plain_text(words)


def _attachment(alerts: Sequence[Alert], text: str) -> dict[str, object]:
    headline = escape(wording.headline(alerts), _HEADLINE_LIMIT)
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
    named = alerts[: wording.NAMED]
    rows = [escape(wording.headline([alert]), _ROW_LIMIT) for alert in named]
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
