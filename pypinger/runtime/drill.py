"""One alert through every channel at once, once: for ``pypinger drill`` and ``pypinger notify-test``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from twisted.internet.defer import Deferred, gatherResults

from pypinger.domain.model import Alert, Seconds
from pypinger.domain.texts import error_words, one_line
from pypinger.ports.notifying import DeliveryError, Notifier


class Attempt(msgspec.Struct, frozen=True):
    """
    The result of one channel.

    :ivar words: what the service said.
    :ivar took: how long the attempt took, in seconds.
    """

    channel: str
    accepted: bool
    words: str
    took: Seconds

    def __str__(self) -> str:
        state = "accepted" if self.accepted else "NOT ACCEPTED"
        return f"{self.channel}: {state} after {self.took:.2f} s: {one_line(self.words)}"


async def send_to_all(notifiers: Sequence[Notifier], alert: Alert, seconds: Callable[[], Seconds]) -> list[Attempt]:
    """
    Send `alert` through all channels at once.

    :param seconds: a monotonic clock.
    :returns: one result for each channel, in their order.
    """

    async def attempt(notifier: Notifier) -> Attempt:
        start = seconds()
        try:
            words = await notifier.send([alert])
        except DeliveryError as error:
            return Attempt(notifier.name, False, error.words, seconds() - start)
        except Exception as error:
            return Attempt(notifier.name, False, error_words(error), seconds() - start)
        return Attempt(notifier.name, True, words, seconds() - start)

    return await gatherResults(
        [Deferred.fromCoroutine(attempt(notifier)) for notifier in notifiers], consumeErrors=True
    )
