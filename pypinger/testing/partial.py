"""The contract of channels with several recipients, each of which may refuse a message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from twisted.internet.defer import CancelledError, Deferred

from pypinger.ports.notifying import DeliveryError, Notifier, PartialNotifier
from pypinger.testing.alerts import alert
from pypinger.testing.contract import FakeService, refusal
from pypinger.testing.suite import SuiteBase, finished


class PartialSuccessContract(SuiteBase):
    """
    The suite for channels with several recipients.

    :cvar quotes: see :class:`~pypinger.testing.contract.ChannelContract`.
    """

    quotes: ClassVar[bool] = True

    def recipients(self) -> Sequence[FakeService]:
        """Make three recipients of one notifier."""
        raise NotImplementedError

    def notifier_to(self, recipients: Sequence[FakeService]) -> Notifier:
        """Make the notifier that sends to these recipients."""
        raise NotImplementedError

    async def answered(self) -> None:
        """Wait until the notifier has the answers of those that do not hang, if it writes to all at once."""

    def trio(self) -> tuple[Sequence[FakeService], Notifier]:
        """Return three recipients, and a notifier that sends to them."""
        recipients = self.recipients()
        self.assertEqual(len(recipients), 3)
        return recipients, self.notifier_to(recipients)

    def counts(self, recipients: Sequence[FakeService]) -> list[int]:
        """Return how many messages each has received."""
        return [len(each.received()) for each in recipients]

    @finished
    async def test_those_reached_are_not_written_to_again(self) -> None:
        recipients, notifier = self.trio()
        recipients[1].fail("come back later")
        error = await refusal(notifier, alert())
        self.assertFalse(error.permanent)
        before = self.counts(recipients)
        self.assertEqual((before[0], before[2]), (1, 1))
        recipients[1].accept()
        self.assertTrue(await notifier.send([alert()]))
        self.assertEqual(self.counts(recipients), [1, before[1] + 1, 1])

    @finished
    async def test_another_notifier_goes_on(self) -> None:
        """After a restart those who were reached are not written to again either."""
        recipients, notifier = self.trio()
        assert isinstance(notifier, PartialNotifier)
        self.assertIsNone(notifier.progress(alert()))
        recipients[1].fail("come back later")
        await refusal(notifier, alert())
        progress = notifier.progress(alert())
        assert progress is not None
        before = self.counts(recipients)
        recipients[1].accept()
        notifier = self.notifier_to(recipients)
        assert isinstance(notifier, PartialNotifier)
        notifier.begin(alert(), progress)
        notifier.begin(alert(id="id-2"), "of a later version")
        self.assertTrue(await notifier.send([alert()]))
        self.assertEqual(self.counts(recipients), [1, before[1] + 1, 1])
        self.assertIsNone(notifier.progress(alert()))
        self.assertTrue(await notifier.send([alert(id="id-2")]))
        self.assertEqual(self.counts(recipients), [2, before[1] + 2, 2])

    @finished
    async def test_who_refused_is_asked_again_by_another_notifier(self) -> None:
        """The recipient's fault may be mended; so it is when the alert is sent again by hand."""
        recipients, notifier = self.trio()
        recipients[0].refuse("no such thing")
        recipients[1].fail("come back later")
        await refusal(notifier, alert())
        assert isinstance(notifier, PartialNotifier)
        progress = notifier.progress(alert())
        before = self.counts(recipients)
        for each in recipients:
            each.accept()
        for again in (self.notifier_to(recipients), notifier):
            assert isinstance(again, PartialNotifier)
            again.begin(alert(), progress)
            self.assertTrue(await again.send([alert()]))
        self.assertEqual(self.counts(recipients), [before[0] + 2, before[1] + 2, 1])

    @finished
    async def test_a_group_with_an_alert_that_was_refused(self) -> None:
        """What reaches a recipient is noted of the alerts that were sent there alone."""
        recipients, notifier = self.trio()
        recipients[0].refuse("no such thing")
        recipients[1].fail("come back later")
        await refusal(notifier, alert())
        recipients[0].accept()
        await refusal(notifier, alert(), alert(id="id-2"))
        assert isinstance(notifier, PartialNotifier)
        of_first, of_second = (notifier.progress(each) for each in (alert(), alert(id="id-2")))
        assert of_first is not None
        assert of_second is not None
        self.assertLess(len(of_first), len(of_second))

    @finished
    async def test_some_refuse_permanently(self) -> None:
        """It counts as sent, and the answer names the refusal."""
        recipients, notifier = self.trio()
        recipients[2].refuse("no such thing")
        words = await notifier.send([alert()])
        self.assertIn("no such thing" if self.quotes else "2 of 3", words)
        self.assertEqual(self.counts(recipients)[:2], [1, 1])

    @finished
    async def test_a_refusal_is_not_retried_with_the_others(self) -> None:
        recipients, notifier = self.trio()
        recipients[0].refuse("no such thing")
        recipients[1].fail("come back later")
        self.assertFalse((await refusal(notifier, alert())).permanent)
        before = self.counts(recipients)
        for each in recipients:
            each.accept()
        self.assertTrue(await notifier.send([alert()]))
        self.assertEqual(self.counts(recipients), [before[0], before[1] + 1, 1])
        # Another alert goes to all again.
        self.assertTrue(await notifier.send([alert(id="id-2")]))
        self.assertEqual(self.counts(recipients), [before[0] + 1, before[1] + 2, 2])

    @finished
    async def test_all_refuse_permanently(self) -> None:
        recipients, notifier = self.trio()
        for each in recipients:
            each.refuse("no such thing")
        error = await refusal(notifier, alert())
        self.assertTrue(error.permanent)
        if self.quotes:
            self.assertIn("no such thing", error.words)

    @finished
    async def test_one_hangs(self) -> None:
        """Those reached before the attempt was cancelled are not written to again."""
        recipients, notifier = self.trio()
        recipients[1].hang()
        waiting = recipients[1].waiting()
        sending = Deferred.fromCoroutine(notifier.send([alert()]))
        sending.addErrback(lambda failure: failure.trap(CancelledError, DeliveryError) and "")
        await waiting
        await self.answered()
        sending.cancel()
        self.assertEqual(await sending, "")
        recipients[1].accept()
        before = self.counts(recipients)
        self.assertTrue(await notifier.send([alert()]))
        after = self.counts(recipients)
        self.assertEqual((before[0], after[0], after[2]), (1, 1, 1))
        self.assertEqual(after[1], before[1] + 1)
