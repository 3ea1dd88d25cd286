"""
The contract of :class:`pypinger.ports.notifying.Notifier`: one suite, mixed into a ``TestCase`` per channel.

The channel posts with a :class:`RecordingClient`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.utils import formatdate
from json import dumps as json_text
from typing import ClassVar

import msgspec
from twisted.internet.defer import Deferred

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event, Seconds
from pypinger.notify import channels
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import (
    ChannelContext,
    DeliveryError,
    HttpClient,
    MessageLost,
    Notifier,
    Receipt,
    Reply,
    RequestFailed,
    ThreadedNotifier,
)

NOW = 1_700_000_000.0

#: The content type that treq sends with JSON.
JSON = "application/json; charset=UTF-8"


class Posted(msgspec.Struct, frozen=True):
    """A request that a channel has made; `body` as it would be sent."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: Seconds


class RecordingClient:
    """A :class:`pypinger.ports.notifying.HttpClient` that records requests and gives the answers it was made with."""

    def __init__(self, *answers: Reply | Exception) -> None:
        self.answers = list(answers)
        self.posted: list[Posted] = []

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        json: object = None,
        data: bytes | None = None,
        timeout: Seconds = 20.0,
    ) -> Reply:
        body = data or b""
        if json is not None:
            headers, body = {**headers, "Content-Type": JSON}, json_text(json).encode()
        self.posted.append(Posted(url, headers, body, timeout))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def context(client: HttpClient, name: str = "ops", now: WallClock = lambda: NOW) -> ChannelContext:
    """What a notifier is made with; it has no reactor."""
    return ChannelContext(name, client, now, None)


def reply(code: int, body: bytes | str = b"", **headers: str) -> Reply:
    """Return an answer; underscores in the names of headers stand for dashes."""
    raw = body.encode() if isinstance(body, str) else body
    return Reply(code, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


PROBLEM = Alert(
    id="0123456789ab-1700000000-1",
    event=Event.PROBLEM,
    at=NOW - 5,
    explanation="last ran 21:55:00 UTC, 34 min ago; runs every 10 min",
    task="0123456789ab",
    name="nightly backup",
    label="https://db1.example/task?…",
    origin="https://db1.example:443",
    page="https://pinger.example/task/0123456789ab",
    kind=Kind.LATE,
    process="backup",
    server="db1",
    started=NOW - 5,
)


def alert(event: Event = Event.PROBLEM, **changes: object) -> Alert:
    """`PROBLEM` with changes."""
    if event in (Event.STARTED, Event.STOPPED, Event.TEST):
        return msgspec.structs.replace(
            Alert(id=f"daemon-{event}", event=event, at=NOW, explanation="12 tasks"), **changes
        )
    kind = Kind.OK if event is Event.RECOVERED else Kind.LATE
    return msgspec.structs.replace(PROBLEM, **{"event": event, "kind": kind, **changes})


class NotifierContract:
    """
    The suite.

    :cvar section: the channel's section.
    :cvar values: its options, all of them.
    :cvar secrets: texts that must not appear in words.
    """

    section: ClassVar[str]
    values: ClassVar[Mapping[str, str]]
    secrets: ClassVar[Sequence[str]]

    def accepted(self) -> Reply:
        """Return the service's answer to a message that it accepts."""
        raise NotImplementedError

    def refused(self, words: str) -> Reply:
        """Return the service's answer, with words of its own, to a message that it refuses permanently."""
        raise NotImplementedError

    def notifier(self, client: RecordingClient) -> Notifier:
        return channels()[self.section].notifier(self.values, context(client, self.section))

    def send(self, client: RecordingClient, *alerts: Alert) -> str:
        return self.successResultOf(Deferred.fromCoroutine(self.notifier(client).send(alerts)))  # type: ignore[attr-defined]

    def failure(self, answer: Reply | Exception) -> DeliveryError:
        sending = Deferred.fromCoroutine(self.notifier(RecordingClient(answer)).send([alert()]))
        return self.failureResultOf(sending, DeliveryError).value  # type: ignore[attr-defined]

    def test_accepts(self) -> None:
        for event in (Event.PROBLEM, Event.CHANGED, Event.REMINDER, Event.RECOVERED, Event.TEST):
            client = RecordingClient(self.accepted())
            self.assertTrue(self.send(client, alert(event)))
            self.assertEqual(1, len(client.posted))

    def test_says_what_matters(self) -> None:
        client = RecordingClient(self.accepted())
        self.send(client, alert())
        body = client.posted[0].body.decode()
        for text in ("nightly backup", "34 min ago", "https://db1.example/task?", "/task/0123456789ab", "late"):
            self.assertIn(text, body)

    def test_age_when_sent(self) -> None:
        """A message that is sent late says how late the task is now."""
        client = RecordingClient(self.accepted())
        self.send(client, alert(at=NOW - 600, lastrun=NOW - 2_000, due=NOW - 1_380))
        self.assertIn("late by 23 min", client.posted[0].body.decode())

    def test_same_message_each_time(self) -> None:
        client = RecordingClient(self.accepted(), self.accepted())
        notifier = self.notifier(client)
        for _ in range(2):
            self.successResultOf(Deferred.fromCoroutine(notifier.send([alert()])))  # type: ignore[attr-defined]
        first, second = client.posted
        self.assertEqual(self.identity(first), self.identity(second))

    def identity(self, posted: Posted) -> object:
        """Return what receivers recognise a duplicate by."""
        return posted.body

    def test_enormous_texts(self) -> None:
        client = RecordingClient(self.accepted())
        enormous = "<&@" * 40_000
        self.send(client, alert(name=enormous, explanation=enormous, label=enormous, process=enormous, page=enormous))
        self.assertLess(len(client.posted[0].body), 200_000)

    def test_many_at_once(self) -> None:
        if not self.notifier(RecordingClient()).groups:
            return
        client = RecordingClient(self.accepted())
        alerts = [alert(id=f"id-{i}", name=f"task {i}") for i in range(30)]
        self.send(client, *alerts)
        body = client.posted[0].body.decode()
        for i, one in enumerate(alerts):
            self.assertIn(one.id, body)
            self.assertEqual(i < 20, f"task {i} " in body, i)
        self.assertIn("and 10 more", body)

    def test_refusal_is_permanent(self) -> None:
        error = self.failure(self.refused("no such thing"))
        self.assertTrue(error.permanent)
        self.assertIn("no such thing", error.words)
        self.assertIsNone(error.retry_after)
        for code in (301, 400, 401, 403, 404, 410, 413):
            error = self.failure(reply(code, retry_after="5"))
            self.assertTrue(error.permanent, code)
            self.assertIsNone(error.retry_after)

    def test_faults_of_the_service_pass(self) -> None:
        for code in (302, 408, 409, 429, 500, 502, 503, 504, 599):
            error = self.failure(reply(code))
            self.assertFalse(error.permanent, code)
            self.assertIn(str(code), error.words)
            self.assertIsNone(error.retry_after)

    def test_no_answer_passes(self) -> None:
        error = self.failure(RequestFailed("no answer within 20 s"))
        self.assertEqual(("no answer within 20 s", False, None), (error.words, error.permanent, error.retry_after))
        self.assertEqual("no answer", self.failure(RequestFailed()).words)

    def test_retry_after(self) -> None:
        for code in (429, 503):
            self.assertEqual(17.0, self.failure(reply(code, retry_after="17")).retry_after)
            date = formatdate(NOW + 90, usegmt=True)
            self.assertEqual(90.0, self.failure(reply(code, retry_after=date)).retry_after)
            self.assertIsNone(self.failure(reply(code, retry_after="soon")).retry_after)

    def test_secrets_stay_secret(self) -> None:
        for secret in self.secrets:
            for answer in (
                self.refused(f"bad {secret}\x00\nhere"),
                reply(500, f"oh {secret}", x_sentry_error=secret),
                RequestFailed(f"cannot reach {self.values.get('url')} with {secret}"),
            ):
                error = self.failure(answer)
                self.assertNotIn(secret, f"{error!r} {error} {error.words}")
                self.assertIsNone(error.__cause__)
                self.assertTrue(error.words.isprintable())

    def test_words_are_short(self) -> None:
        self.assertLessEqual(len(self.failure(self.refused("word " * 10_000)).words), 200)

    def test_broken_answers(self) -> None:
        for body in (b"", b"\xff\xfe", b"[" * 50_000, b"[]", b"null", b'{"error": 7}', b'{"ok": "yes"}', b"<html>no"):
            error = self.failure(reply(500, body))
            self.assertFalse(error.permanent)
            self.assertTrue(error.words)
            # A page comes from what stands between, and is no refusal (contract, section 4).
            self.assertIs(self.failure(reply(403, body)).permanent, not body.startswith(b"<"))

    def test_fits_the_port(self) -> None:
        notifier = self.notifier(RecordingClient())
        self.assertEqual(self.section, notifier.name)
        self.assertGreaterEqual(notifier.spacing, 0)
        channel = channels()[self.section]
        self.assertEqual(set(self.values), {option.name for option in channel.options})
        self.assertLessEqual(set(channel.essential(self.values)), set(self.values))
        self.assertEqual({}, dict(channel.check(self.values)))


class ThreadedNotifierContract:
    """The suite of :class:`pypinger.ports.notifying.ThreadedNotifier`, mixed in beside :class:`NotifierContract`."""

    def posted(self, number: int) -> Reply:
        """Return the service's answer to new message number `number`."""
        raise NotImplementedError

    def lost(self) -> Reply:
        """Return the service's answer to a reply to a message that is gone."""
        raise NotImplementedError

    def cannot_update(self) -> Reply:
        """Return the service's answer to an update of a message that is gone."""
        raise NotImplementedError

    def threaded(self, *answers: Reply | Exception) -> tuple[ThreadedNotifier, RecordingClient]:
        client = RecordingClient(*answers)
        notifier = self.notifier(client)  # type: ignore[attr-defined]
        assert isinstance(notifier, ThreadedNotifier)
        return notifier, client

    def post(self, notifier: ThreadedNotifier, event: Event, thread: str | None = None) -> Receipt:
        return self.successResultOf(Deferred.fromCoroutine(notifier.post([alert(event)], thread)))  # type: ignore[attr-defined]

    def update(self, notifier: ThreadedNotifier, reference: str) -> Deferred[str]:
        return Deferred.fromCoroutine(notifier.update(reference, [alert(), alert(Event.RECOVERED)]))

    def test_new_messages_have_references(self) -> None:
        notifier, _ = self.threaded(self.posted(1), self.posted(2))
        references = {self.post(notifier, Event.PROBLEM).reference for _ in range(2)}
        self.assertEqual(len(references), 2)
        for reference in references:
            self.assertTrue(isinstance(reference, str) and reference.isprintable() and len(reference) <= 500)

    def test_a_reply_refers_to_its_thread(self) -> None:
        notifier, client = self.threaded(self.posted(1), self.posted(2))
        thread = self.post(notifier, Event.PROBLEM).reference
        # Another process may reply: a reference is all that it needs.
        other, client = self.threaded(self.posted(2))
        self.assertEqual(self.post(other, Event.RECOVERED, thread).reference, thread)
        self.assertEqual(len(client.posted), 1)

    def test_a_reply_to_a_lost_message_is_a_message(self) -> None:
        notifier, client = self.threaded(self.posted(1), self.lost(), self.posted(2), self.posted(3))
        thread = self.post(notifier, Event.PROBLEM).reference
        receipt = self.post(notifier, Event.CHANGED, thread)
        self.assertNotIn(receipt.reference, (thread, None))
        self.assertEqual(self.post(notifier, Event.RECOVERED, receipt.reference).reference, receipt.reference)
        self.assertEqual(len(client.posted), 4)

    def test_a_reply_that_fails_for_now(self) -> None:
        for answer in (reply(503), reply(429), RequestFailed("no answer")):
            notifier, client = self.threaded(self.posted(1), answer)
            thread = self.post(notifier, Event.PROBLEM).reference
            sending = Deferred.fromCoroutine(notifier.post([alert(Event.RECOVERED)], thread))
            error = self.failureResultOf(sending, DeliveryError).value  # type: ignore[attr-defined]
            self.assertFalse(error.permanent)
            self.assertEqual(len(client.posted), 2)

    def test_unreadable_references(self) -> None:
        """A reference of another version or kind of channel is no thread."""
        for thread in ("", "x", "a b", "\x00", "☃ ☃ ☃"):
            notifier, _ = self.threaded(self.posted(1), self.posted(2))
            self.assertNotIn(self.post(notifier, Event.RECOVERED, thread).reference, (thread, None))

    def test_update(self) -> None:
        notifier, client = self.threaded(self.posted(1), self.posted(1))
        reference = self.post(notifier, Event.PROBLEM).reference
        self.assertTrue(self.successResultOf(self.update(notifier, reference)))
        self.assertIn("1 of 2 tasks", client.posted[1].body.decode())

    def test_updates_that_fail(self) -> None:
        for answer, lost in ((self.cannot_update(), True), (reply(503), False), (RequestFailed("no answer"), False)):
            notifier, _ = self.threaded(self.posted(1), answer)
            reference = self.post(notifier, Event.PROBLEM).reference
            error = self.failureResultOf(self.update(notifier, reference), DeliveryError).value
            self.assertEqual((isinstance(error, MessageLost), error.permanent), (lost, lost))
