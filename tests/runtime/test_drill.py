"""One alert through every channel at once."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Alert
from pypinger.ports.notifying import DeliveryError
from pypinger.runtime.drill import send_to_all
from pypinger.testing.channels import alert


class Fake:
    spacing = 0.0
    groups = True

    def __init__(self, name: str, error: Exception | None) -> None:
        self.name = name
        self.error = error

    async def send(self, alerts: Sequence[Alert]) -> str:
        if self.error is not None:
            raise self.error
        return "ok"


class DrillTests(SynchronousTestCase):
    def test_each_channel_has_a_result(self) -> None:
        """An error of one channel's own code is its result, and does not hide the others'."""
        errors = {"works": None, "refuses": DeliveryError("no such room"), "broken": KeyError("room")}
        notifiers = [Fake(name, error) for name, error in errors.items()]
        sending = Deferred.fromCoroutine(send_to_all(notifiers, alert(), Clock().seconds))
        self.assertEqual(
            list(map(str, self.successResultOf(sending))),
            [
                "works: accepted after 0.00 s: ok",
                "refuses: NOT ACCEPTED after 0.00 s: no such room",
                "broken: NOT ACCEPTED after 0.00 s: KeyError: 'room'",
            ],
        )
