"""The contract of :class:`pypinger.ports.notifying.KeptAlive`, for channels that post with the HTTP client."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from pypinger.domain.model import Alert, Event
from pypinger.ports.notifying import DeliveryError, KeptAlive, Reply, RequestFailed
from pypinger.testing.alerts import alert
from pypinger.testing.channels import NotifierContract, Posted, RecordingClient, reply

#: How many alerts a channel must be able to keep, and the most bytes of one request.
MANY = 2_000
MOST_BYTES = 2_000_000


class KeptAliveContract(NotifierContract):
    """The suite of channels whose alerts expire unless they are sent again."""

    def keeper(self, *answers: Reply | Exception) -> tuple[KeptAlive, RecordingClient]:
        client = RecordingClient(*answers)
        notifier = self.notifier(client)
        assert isinstance(notifier, KeptAlive)
        return notifier, client

    def keep(self, *alerts: Alert) -> list[Posted]:
        """Keep alerts with a new notifier; returns its requests."""
        notifier, client = self.keeper(*([self.accepted()] * len(alerts)))
        self.successResultOf(Deferred.fromCoroutine(notifier.keep(alerts)))
        return client.posted

    def test_keeps_what_stands(self) -> None:
        """Each alert is sent again, also by a process that has not sent it before."""
        alerts = [alert(id=f"id-{number}", task=f"task-{number}") for number in range(3)]
        alerts.append(
            Alert(id="id-blind", event=Event.BLIND, at=alerts[0].at, explanation="no host answers", started=1.0)
        )
        bodies = "".join(posted.body.decode() for posted in self.keep(*alerts))
        for each in alerts:
            self.assertIn(each.id, bodies)

    def test_nothing_stands(self) -> None:
        self.assertEqual(self.keep(), [])

    def test_keeps_thousands(self) -> None:
        """In far fewer requests than alerts, none of them huge."""
        posted = self.keep(*(alert(id=f"id-{number}.", task=f"task-{number}") for number in range(MANY)))
        self.assertLess(len(posted), MANY / 20)
        self.assertLess(max(len(each.body) for each in posted), MOST_BYTES)
        bodies = b"".join(each.body for each in posted)
        self.assertEqual([number for number in range(MANY) if f"id-{number}.".encode() not in bodies], [])

    def test_keeping_fails(self) -> None:
        """The error is that of a delivery, without secrets, and the next attempt works."""
        for secret in self.secrets:
            for answer in (self.refused(f"bad {secret}"), reply(503, secret), RequestFailed(f"cannot reach {secret}")):
                notifier, client = self.keeper(answer, self.accepted())
                failed = self.failureResultOf(Deferred.fromCoroutine(notifier.keep([alert()])), DeliveryError).value
                assert isinstance(failed, DeliveryError)
                self.check_words(failed)
                self.successResultOf(Deferred.fromCoroutine(notifier.keep([alert()])))
                self.assertEqual(len(client.posted), 2)
