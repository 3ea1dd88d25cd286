"""
When a failed message of a channel is tried again, and when it is given up.

Note [Backing off]
~~~~~~~~~~~~~~~~~~
A failed delivery is retried after a delay that doubles (:mod:`pypinger.domain.backoff`). That alone would not spare a
service that is down during a storm, because the first alert of every task would still be attempted at once. Therefore
a failure also pauses the whole queue: for the time given by ``Retry-After``, otherwise for one second, doubled for each
further message that fails in a row, up to 5 minutes. One success ends the pause. The failures of one task's alerts, or
of one group, count once, so that a message the service rejects does not hold up the others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from twisted.logger import Logger

from pypinger.domain import backoff
from pypinger.domain.model import Outcome, Seconds
from pypinger.domain.times import span
from pypinger.domain.wording import headline
from pypinger.ports.notifying import DeliveryError
from pypinger.runtime.pending import Message, Waiting


class Retries:
    """
    The failures of one channel.

    :param name: of the channel.
    :param retry_for: seconds after its alert's cause during which a delivery is retried (contract, section 4).
    """

    _log = Logger()

    def __init__(self, name: str, retry_for: Seconds) -> None:
        self._name = name
        self._retry_for = retry_for
        self._failures = 0
        self._failed_last: Message | None = None

    def give_up_after(self, retry_for: Seconds) -> None:
        """Retry deliveries for so many seconds."""
        self._retry_for = retry_for

    def succeeded(self) -> None:
        """A message was accepted."""
        self._failures, self._failed_last = 0, None

    def failed(
        self, message: Sequence[Waiting], error: DeliveryError, age: Callable[[Waiting], Seconds]
    ) -> tuple[list[Outcome], Seconds, Seconds]:
        """
        Decide which deliveries are retried and after how many seconds, and log it.

        All of them wait as long as the one with the most attempts; each is given up separately.

        :param age: returns the age of an alert in seconds.
        :returns: their outcomes, their wait, and for how many seconds the whole queue pauses.
        """
        if error.permanent:
            # The service answered, so other alerts need not wait.
            self._failures, self._failed_last = 0, None
            for waiting in message:
                self._give_up(waiting, "refused", "permanently", error)
            return [Outcome.DEAD] * len(message), 0.0, 0.0
        if message[0].message != self._failed_last:
            self._failures += 1
            self._failed_last = message[0].message
        close = min(2.0 ** min(self._failures - 1, 16), backoff.LONGEST)
        if error.retry_after is not None:
            close = min(max(error.retry_after, backoff.SHORTEST), backoff.LONGEST_ASKED)
        attempts, chance = 1 + max(waiting.delivery.attempts for waiting in message), random.random()
        outcomes: list[Outcome] = []
        pause: Seconds = 0.0
        for waiting in message:
            wait = backoff.delay(
                attempts,
                retry_after=error.retry_after,
                age=age(waiting),
                retry_for=self._retry_for,
                chance=chance,
            )
            if wait is None:
                words = f"within {span(self._retry_for)} and {waiting.delivery.attempts + 1} attempts"
                self._give_up(waiting, "did not accept", words, error)
                outcomes.append(Outcome.DEAD)
            else:
                pause = wait
                outcomes.append(Outcome.RETRY)
        if Outcome.RETRY in outcomes:
            self._log.warn(
                "{name} did not accept {ids}, attempt {count}: {words}; the next attempt is in {span}",
                name=self._name,
                ids=ids_of(message),
                count=attempts,
                words=error.words,
                span=span(pause),
            )
        return outcomes, pause, close

    def _give_up(self, waiting: Waiting, verb: str, limit: str, error: DeliveryError) -> None:
        """Log each alert that is given up, also those of a group (contract, section 4)."""
        alert = waiting.delivery.alert
        self._log.error(
            "{name} {verb} [{id}] {limit}: {words}; the alert was: {alert}",
            name=self._name,
            verb=verb,
            id=alert.id,
            limit=limit,
            words=error.words,
            alert=headline((alert,)),
        )


def ids_of(message: Sequence[Waiting]) -> str:
    """Return the ids of a message's alerts, for the log."""
    more = f" and {len(message) - 1} more" if len(message) > 1 else ""
    return f"[{message[0].delivery.alert.id}]{more}"
