"""The contract of :class:`pypinger.ports.notifying.ThreadedNotifier`, for channels that post with the HTTP client."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from pypinger.domain.model import Event
from pypinger.ports.notifying import (
    MessageLost,
    Receipt,
    Reply,
    RequestFailed,
    ThreadedNotifier,
)
from pypinger.testing.alerts import alert
from pypinger.testing.channels import NotifierContract, RecordingClient, reply


class ThreadedNotifierContract(NotifierContract):
    """The suite of channels whose messages can be replied to and changed."""

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
        notifier = self.notifier(client)
        assert isinstance(notifier, ThreadedNotifier)
        return notifier, client

    def post(self, notifier: ThreadedNotifier, event: Event, thread: str | None = None) -> Receipt:
        receipt: Receipt = self.successResultOf(Deferred.fromCoroutine(notifier.post([alert(event)], thread)))
        return receipt

    def update(self, notifier: ThreadedNotifier, reference: str | None) -> Deferred[str]:
        assert reference is not None
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
            receipt = Deferred.fromCoroutine(notifier.post([alert(Event.RECOVERED)], thread))
            sending = receipt.addCallback(lambda receipt: receipt.words)
            self.assertFalse(self.error_of(sending).permanent)
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
            error = self.error_of(self.update(notifier, reference))
            self.assertEqual((isinstance(error, MessageLost), error.permanent), (lost, lost))
