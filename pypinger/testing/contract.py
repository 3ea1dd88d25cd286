"""
The contract of :class:`pypinger.ports.notifying.Notifier` for any transport, as suites that are mixed into a test case.

A suite drives a :class:`FakeService`, the other side of the channel. It runs in a ``SynchronousTestCase`` if the fake
answers at once, and in a ``TestCase`` of :mod:`twisted.trial.unittest` if it needs the reactor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import msgspec
from twisted.internet.defer import CancelledError, Deferred

from pypinger.domain.model import Alert, Event
from pypinger.notify import channels
from pypinger.ports.notifying import Channel, DeliveryError, Notifier
from pypinger.testing.alerts import NOW, alert
from pypinger.testing.suite import SuiteBase, finished

#: The most characters of ``DeliveryError.words``.
WORDS_LIMIT = 200


class Received(msgspec.Struct, frozen=True):
    """
    A message that a service received.

    :ivar text: all that people and programs can read in it; decoded, and not unescaped.
    :ivar identity: what receivers recognise a duplicate by.
    """

    text: str
    identity: object


class FakeService(Protocol):
    """
    The other side of a channel.

    Its methods decide what happens to messages from then on; a new one accepts them.
    """

    def received(self) -> Sequence[Received]:
        """Return the messages so far, those that were not accepted too if they were sent whole."""

    def accept(self) -> None:
        """Accept messages."""

    def refuse(self, words: str) -> None:
        """Refuse messages permanently, in words of its own."""

    def fail(self, words: str) -> None:
        """Refuse messages for now, in words of its own."""

    def hang(self) -> None:
        """Never answer."""

    def drip(self) -> None:
        """Begin to answer, and never end."""

    def waiting(self) -> Deferred[None]:
        """Fire when an attempt waits for the answer of a service that hangs or drips."""


async def refusal(notifier: Notifier, *alerts: Alert) -> DeliveryError:
    """Send a message that is not accepted, and return the error."""
    try:
        words = await notifier.send(alerts)
    except DeliveryError as error:
        return error
    raise AssertionError(f"accepted: {words}")


class ChannelContract(SuiteBase):
    """
    The suite for all channels.

    :cvar section: the name of the channel's section, without the part that users choose.
    :cvar values: its options, all of them.
    :cvar secrets: texts that must not appear in words.
    :cvar quotes: whether errors quote the service, as they should where its words are known.
    """

    section: ClassVar[str]
    values: ClassVar[Mapping[str, str]]
    secrets: ClassVar[Sequence[str]]
    quotes: ClassVar[bool] = True

    def service(self) -> FakeService:
        """Make a fake service; a cleanup of the test case stops it."""
        raise NotImplementedError

    def notifier_for(self, service: FakeService, name: str) -> Notifier:
        """
        Make a notifier that sends to a fake service, at the time :data:`~pypinger.testing.alerts.NOW`.

        :param name: the name of its section.
        """
        raise NotImplementedError

    def channel(self) -> Channel:
        """Return the channel under test."""
        return channels()[self.section]

    def pair(self) -> tuple[FakeService, Notifier]:
        """Return a fake service, and a notifier that sends to it."""
        service = self.service()
        return service, self.notifier_for(service, self.section)

    def error_of(self, sending: Deferred[str]) -> DeliveryError:
        """Return the error that an attempt has ended with."""
        error = self.failureResultOf(sending, DeliveryError).value
        assert isinstance(error, DeliveryError)
        return error

    def check_words(self, error: DeliveryError) -> None:
        """Words are one short line without secrets, and so is all that a log may show of the error."""
        self.assertTrue(error.words)
        self.assertTrue(error.words.isprintable(), error.words)
        self.assertLessEqual(len(error.words), WORDS_LIMIT)
        self.assertIsNone(error.__cause__)
        for secret in self.secrets:
            self.assertNotIn(secret, f"{error!r} {error} {error.words}")

    @finished
    async def test_accepts(self) -> None:
        for event in (Event.PROBLEM, Event.CHANGED, Event.REMINDER, Event.RECOVERED, Event.TEST):
            service, notifier = self.pair()
            words = await notifier.send([alert(event)])
            self.assertTrue(words)
            self.assertTrue(words.isprintable(), words)
            self.assertEqual(len(service.received()), 1, event)

    @finished
    async def test_says_what_matters(self) -> None:
        service, notifier = self.pair()
        await notifier.send([alert()])
        (message,) = service.received()
        for text in (
            "nightly backup",
            "34 min ago",
            "https://db1.example/task",
            "pinger.example/task/0123456789ab",
            "late",
        ):
            self.assertIn(text, message.text)

    @finished
    async def test_id(self) -> None:
        service, notifier = self.pair()
        await notifier.send([alert()])
        self.assertIn(alert().id, service.received()[0].text)

    @finished
    async def test_age_when_sent(self) -> None:
        """A message that is sent late says how late the task is now."""
        service, notifier = self.pair()
        await notifier.send([alert(at=NOW - 600, lastrun=NOW - 2_000, due=NOW - 1_380)])
        self.assertIn("late by 23 min", service.received()[0].text)

    @finished
    async def test_same_message_each_time(self) -> None:
        """Receivers recognise a message that is sent again, also after a restart."""
        service = self.service()
        for _ in range(2):
            await self.notifier_for(service, self.section).send([alert()])
        notifier = self.notifier_for(service, self.section)
        await notifier.send([alert()])
        await notifier.send([alert(id="0123456789ab-1700000000-2")])
        *same, other = (message.identity for message in service.received())
        self.assertEqual(same, same[:1] * 3)
        self.assertNotEqual(other, same[0])

    @finished
    async def test_order(self) -> None:
        """An attempt is over when the service has the message, so that messages keep their order."""
        service, notifier = self.pair()
        for count in range(1, 4):
            await notifier.send([alert(id=f"id-{count}")])
            self.assertEqual(len(service.received()), count)
            self.assertIn(f"id-{count}", service.received()[-1].text)

    @finished
    async def test_enormous_texts(self) -> None:
        service, notifier = self.pair()
        enormous = "<&@" * 40_000
        await notifier.send([alert(name=enormous, explanation=enormous, label=enormous, process=enormous)])
        await notifier.send([alert(page=enormous)])
        for message in service.received():
            self.assertLess(len(message.text), 200_000)
            self.assertIn(alert().id, message.text)

    @finished
    async def test_any_characters(self) -> None:
        """No text from a report makes a message that cannot be sent."""
        service, notifier = self.pair()
        texts = (
            "\ud800 \x00\x1b[31m\r\nX: y\x85",
            "\u202e=?utf-8?q?a=0D=0ABcc:_b?=",
            "é 漢字 😀" * 40,
            "\n.\n.\r\n",
        )
        for text in texts:
            await notifier.send([alert(name=text, explanation=text, process=text, server=text)])
        self.assertEqual(len(service.received()), len(texts))

    @finished
    async def test_many_at_once(self) -> None:
        service, notifier = self.pair()
        if not notifier.groups:
            return
        alerts = [alert(id=f"id-{i}", name=f"task {i}") for i in range(30)]
        await notifier.send(alerts)
        (message,) = service.received()
        for i, one in enumerate(alerts):
            self.assertIn(one.id, message.text)
            self.assertEqual(i < 20, f"task {i} " in message.text, i)
        self.assertIn("and 10 more", message.text)

    @finished
    async def test_refusal_is_permanent(self) -> None:
        service, notifier = self.pair()
        service.refuse("no such thing")
        error = await refusal(notifier, alert())
        self.assertTrue(error.permanent)
        if self.quotes:
            self.assertIn("no such thing", error.words)
        self.assertIsNone(error.retry_after)

    @finished
    async def test_failure_passes(self) -> None:
        service, notifier = self.pair()
        service.fail("come back later")
        self.assertFalse((await refusal(notifier, alert())).permanent)
        service.accept()
        self.assertTrue(await notifier.send([alert()]))

    @finished
    async def test_words(self) -> None:
        service, notifier = self.pair()
        for words in ("word " * 10_000, *(f"bad {secret}\x00\x1b here" for secret in self.secrets)):
            service.refuse(words)
            self.check_words(await refusal(notifier, alert(id="id-1")))
            service.fail(words)
            self.check_words(await refusal(notifier, alert(id="id-2")))

    @finished
    async def test_hanging_service(self) -> None:
        service, notifier = self.pair()
        service.hang()
        await self.check_cancelled(service, notifier)

    @finished
    async def test_dripping_service(self) -> None:
        service, notifier = self.pair()
        service.drip()
        await self.check_cancelled(service, notifier)

    async def check_cancelled(self, service: FakeService, notifier: Notifier) -> None:
        """The outbox cancels an attempt that takes too long; the next one does not wait for it."""
        waiting = service.waiting()
        sending = Deferred.fromCoroutine(notifier.send([alert(id="id-1")]))
        ended = sending.addErrback(lambda failure: failure.trap(CancelledError, DeliveryError) and "")
        await waiting
        self.assertFalse(ended.called)
        ended.cancel()
        self.assertTrue(ended.called, "not cancelled at once")
        self.assertEqual(await ended, "")
        service.accept()
        self.assertTrue(await notifier.send([alert(id="id-2")]))
        self.assertIn("id-2", service.received()[-1].text)

    @finished
    async def test_fits_the_port(self) -> None:
        service = self.service()
        for name in (self.section, f"{self.section} night shift"):
            notifier = self.notifier_for(service, name)
            self.assertEqual(notifier.name, name)
            self.assertGreaterEqual(notifier.spacing, 0)
            self.assertIn(notifier.groups, (True, False))
        channel = self.channel()
        self.assertEqual(channel.name, self.section)
        self.assertTrue(channel.events)
        self.assertLessEqual(set(channel.events), set(Event))
        self.assertIn(channel.resolves, (True, False))
        self.assertEqual({option.name for option in channel.options}, set(self.values))
        essential = channel.essential(self.values)
        self.assertTrue(essential)
        self.assertLessEqual(set(essential), set(self.values))
        self.assertEqual(dict(channel.check(self.values)), {})
