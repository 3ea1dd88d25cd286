"""
The ``[slack]`` channel: the Web API, with threads or without, or an incoming webhook (contract, section 5).

Note [Threads]
~~~~~~~~~~~~~~
The reference of a message is the channel's id and the message's ``ts``, which ``chat.postMessage`` returns, and the
channel as the settings name it: after a change of the settings a message goes where they say, not into a thread of the
channel before. A thread that does not take a reply (its message was deleted, it is locked) is not tried again, and the
reply becomes a message of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from pypinger.domain.model import Alert, Event, Seconds
from pypinger.domain.redaction import secret_parts
from pypinger.domain.routing import DEFAULT_EVENTS
from pypinger.notify.post import Poster, json_object, status_words, succeeded, unfit_for_header
from pypinger.notify.slack_message import alert_message, present_state
from pypinger.ports.notifying import ChannelContext, DeliveryError, MessageLost, Notifier, OptionSpec, Receipt

WEB_API = "/api/chat.postMessage"
DEFAULT_URL = f"https://slack.com{WEB_API}"
_UPDATE = "/api/chat.update"

#: How many threads that take no replies are remembered.
LOST_THREADS = 1_000

# Longest reference that is kept.
_REFERENCE_LIMIT = 500

# Replies to a thread that the channel shows as well.
_BROADCAST = frozenset({Event.PROBLEM, Event.FLAPPING, Event.RECOVERED})

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

# Errors of the Web API that pass by themselves. A reply to a thread that fails with another error is posted as a
# message of its own.
_PASSING = frozenset(
    {
        "accesslimited",
        "fatal_error",
        "internal_error",
        "message_limit_exceeded",
        "org_login_required",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)


# Errors that a message of its own would meet, too: those of the token and the workspace.
_OF_TOKEN = frozenset(
    {
        "access_denied",
        "account_inactive",
        "ekm_access_denied",
        "enterprise_is_restricted",
        "invalid_auth",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
        "two_factor_setup_required",
    }
)


class SlackError(DeliveryError):
    """
    The Web API's answer is an error.

    :ivar name: the error.
    :ivar passing: whether the same request may succeed later.
    """

    def __init__(self, name: str, error: DeliveryError, *, passing: bool) -> None:
        super().__init__(error.words, permanent=error.permanent, retry_after=error.retry_after)
        self.name = name
        self.passing = passing


class Reference(msgspec.Struct, frozen=True):
    """
    A message: see Note [Threads].

    :ivar id: of the channel.
    :ivar channel: as the settings name it.
    """

    id: str
    ts: str
    channel: str

    def __str__(self) -> str:
        return f"{self.id} {self.ts} {self.channel}"

    @classmethod
    def of(cls, text: str | None) -> Reference | None:
        """Read a text that :meth:`__str__` made."""
        parts = (text or "").split(" ", 2)
        return cls(*parts) if len(parts) == 3 else None


class Slack:
    """
    What the notifiers of Slack share.

    :param values: the section's options.
    """

    spacing: Seconds = 1.0
    groups = True

    def __init__(self, values: Mapping[str, str], context: ChannelContext, secrets: Sequence[str]) -> None:
        self.name = context.name
        self._url = _url(values)
        self._now = context.now
        self._poster = Poster(context.client, context.now, secrets)
        emoji = values["emoji"].strip(":")
        looks = {"channel": values["channel"], "username": values["user"], "icon_emoji": emoji and f":{emoji}:"}
        self._looks = {key: value for key, value in looks.items() if value}


class SlackWebhook(Slack):
    """A :class:`pypinger.ports.notifying.Notifier` for an incoming webhook."""

    def __init__(self, values: Mapping[str, str], context: ChannelContext) -> None:
        super().__init__(values, context, [values["token"], *secret_parts(_url(values))])

    async def send(self, alerts: Sequence[Alert]) -> str:
        message = {**self._looks, **alert_message(alerts, self._now(), signed=True)}
        reply = await self._poster.post(self._url, headers={}, json=message)
        if succeeded(reply):
            return status_words(reply.code)
        words = reply.body.decode("utf-8", "replace")
        # A middlebox answers with a page; Slack answers with a word.
        raise self._poster.refused(reply, "" if words.lstrip().startswith("<") else words)


class SlackWebApi(Slack):
    """A :class:`pypinger.ports.notifying.Notifier` that posts each message to the channel."""

    def __init__(self, values: Mapping[str, str], context: ChannelContext) -> None:
        super().__init__(values, context, [values["token"]])
        self._headers = {"Authorization": f"Bearer {values['token']}"}

    async def send(self, alerts: Sequence[Alert]) -> str:
        await self._call(self._url, self._message(alerts))
        return "ok"

    def _message(self, alerts: Sequence[Alert]) -> dict[str, object]:
        return {**self._looks, **alert_message(alerts, self._now(), signed=False)}

    async def _call(self, url: str, request: Mapping[str, object]) -> Mapping[str, object]:
        reply = await self._poster.post(url, headers=self._headers, json=request)
        answer = json_object(reply.body)
        if succeeded(reply) and answer.get("ok") is True:
            return answer
        error = answer.get("error")
        if not isinstance(error, str):
            words = "" if not succeeded(reply) else f"{status_words(reply.code)}, but the answer is not from Slack"
            raise self._poster.refused(reply, words)
        permanent = None
        if error in _PERMANENT:
            permanent = True
        elif succeeded(reply):
            permanent = False
        refused = self._poster.refused(reply, error + _details(answer), permanent=permanent)
        passing = not refused.permanent and (error in _PASSING or not succeeded(reply))
        raise SlackError(error, refused, passing=passing)


class SlackThreads(SlackWebApi):
    """A :class:`pypinger.ports.notifying.ThreadedNotifier`: see Note [Threads]."""

    def __init__(self, values: Mapping[str, str], context: ChannelContext) -> None:
        super().__init__(values, context)
        self._channel = values["channel"]
        self._lost: dict[str, None] = {}

    async def post(self, alerts: Sequence[Alert], thread: str | None) -> Receipt:
        message = self._message(alerts)
        parent = Reference.of(thread)
        if thread is not None and parent is not None and parent.channel == self._channel and thread not in self._lost:
            broadcast = any(alert.event in _BROADCAST for alert in alerts)
            reply = {**message, "channel": parent.id, "thread_ts": parent.ts, "reply_broadcast": broadcast}
            try:
                answer = await self._call(self._url, reply)
            except SlackError as error:
                if error.passing:
                    raise
                self._lose(thread)
            else:
                return Receipt("ok", thread if _is_reply(answer, parent) else self._reference(answer))
        return Receipt("ok", self._reference(await self._call(self._url, message)))

    async def update(self, reference: str, alerts: Sequence[Alert]) -> str:
        message = Reference.of(reference)
        if message is None:
            raise MessageLost("the reference is not Slack's")
        request = {"channel": message.id, "ts": message.ts, **present_state(alerts)}
        try:
            await self._call(self._url.removesuffix(WEB_API) + _UPDATE, request)
        except SlackError as error:
            if error.passing or error.name in _OF_TOKEN:
                raise
            # A new message goes to the channel of this name, which may be another one by now.
            self._lose(reference)
            raise MessageLost(error.words) from None
        return "ok"

    def _lose(self, thread: str) -> None:
        self._lost[thread] = None
        if len(self._lost) > LOST_THREADS:
            del self._lost[next(iter(self._lost))]

    def _reference(self, answer: Mapping[str, object]) -> str | None:
        channel, ts = answer.get("channel"), answer.get("ts")
        if not isinstance(channel, str) or not isinstance(ts, str) or not channel or not ts or " " in channel + ts:
            return None
        reference = str(Reference(channel, ts, self._channel))
        return reference if len(reference) <= _REFERENCE_LIMIT else None


class SlackChannel:
    """The sections ``[slack]`` and ``[slack NAME]``."""

    name = "slack"
    events = DEFAULT_EVENTS
    resolves = False
    options = (
        OptionSpec("url", form="url", default=DEFAULT_URL, secret=True),
        OptionSpec("channel"),
        OptionSpec("token", secret=True),
        OptionSpec("user"),
        OptionSpec("emoji"),
        OptionSpec("threads", form="flag", default="true"),
    )

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        return ("channel", "token") if _is_web_api(values) else ("url",)

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        return unfit_for_header(values, "token")

    def notifier(self, values: Mapping[str, str], context: ChannelContext) -> Notifier:
        if not _is_web_api(values):
            return SlackWebhook(values, context)
        return (SlackThreads if values["threads"] == "true" else SlackWebApi)(values, context)


CHANNEL = SlackChannel()


def _url(values: Mapping[str, str]) -> str:
    return values.get("url") or DEFAULT_URL


def _is_web_api(values: Mapping[str, str]) -> bool:
    return _url(values).endswith(WEB_API)


def _is_reply(answer: Mapping[str, object], parent: Reference) -> bool:
    """Whether the message became a reply: Slack may post one to the channel if there is no message to reply to."""
    message = answer.get("message")
    if not isinstance(message, dict) or "ts" not in message:
        # The answer does not show the message.
        return True
    return message.get("thread_ts") == parent.ts


def _details(answer: Mapping[str, object]) -> str:
    """Return what Slack adds to an error's name: the missing scope, or the part of the message that it refuses."""
    if isinstance(needed := answer.get("needed"), str):
        return f" (needed: {needed})"
    metadata = answer.get("response_metadata")
    messages = metadata.get("messages") if isinstance(metadata, dict) else None
    return f" ({messages[0]})" if isinstance(messages, list) and messages else ""
