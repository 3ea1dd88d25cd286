"""
Messages to several recipients, of whom each may accept or refuse.

Those who were reached are not written to again when the message is retried: see
:class:`~pypinger.ports.notifying.PartialNotifier`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from twisted.logger import Logger

from pypinger.domain.model import Alert
from pypinger.domain.texts import cut
from pypinger.notify.post import WORDS_LIMIT
from pypinger.ports.notifying import DeliveryError

#: The alerts of which it is remembered who was reached, the latest.
REMEMBERED = 10_000


class _Answer(msgspec.Struct, frozen=True):
    """A recipient's final answer to an alert."""

    reached: bool
    words: str


#: Keys of recipients.
_PROGRESS = msgspec.json.Decoder(list[str])


class Audience:
    """
    The recipients of one channel.

    :param channel: the channel's name, for the log.
    :param recipients: their names -> the keys that they have in the store, which hold no secret. With another key it is
        another recipient.
    """

    def __init__(self, channel: str, recipients: Mapping[str, str]) -> None:
        self.channel = channel
        self.recipients = recipients
        self._answers: dict[str, dict[str, _Answer]] = {}

    def answers(self, alert: Alert) -> Mapping[str, _Answer]:
        """Return recipient -> final answer, as far as there is one."""
        return self._answers.get(alert.id, {})

    def remember(self, alerts: Sequence[Alert], recipient: str, answer: _Answer) -> None:
        """Keep a final answer."""
        for alert in alerts:
            self._answers.setdefault(alert.id, {})[recipient] = answer
        while len(self._answers) > REMEMBERED:
            del self._answers[next(iter(self._answers))]

    def forget(self, alerts: Sequence[Alert]) -> None:
        """The alerts will not be sent again."""
        for alert in alerts:
            self._answers.pop(alert.id, None)

    def progress(self, alert: Alert) -> str | None:
        """See :meth:`pypinger.ports.notifying.PartialNotifier.progress`."""
        reached = [self.recipients[name] for name, answer in self.answers(alert).items() if answer.reached]
        return msgspec.json.encode(reached).decode() if reached else None

    def begin(self, alert: Alert, progress: str | None) -> None:
        """See :meth:`pypinger.ports.notifying.PartialNotifier.begin`."""
        self.forget([alert])
        try:
            reached = [] if progress is None else _PROGRESS.decode(progress)
        except msgspec.MsgspecError:
            # Of a later version.
            return
        for name, key in self.recipients.items():
            if key in reached:
                self.remember([alert], name, _Answer(True, "accepted at an earlier attempt"))


class Sending:
    """One attempt to send a message with `alerts` to an audience."""

    _log = Logger()

    def __init__(self, audience: Audience, alerts: Sequence[Alert]) -> None:
        self._audience = audience
        self._alerts = alerts
        self._sent: dict[str, Sequence[Alert]] = {}
        self._failed: dict[str, str] = {}

    def missing(self) -> Iterator[tuple[str, Sequence[Alert]]]:
        """Yield each recipient who has not answered finally, and the alerts that are still to be sent there."""
        for recipient in self._audience.recipients:
            alerts = [alert for alert in self._alerts if recipient not in self._audience.answers(alert)]
            if alerts:
                self._sent[recipient] = alerts
                yield recipient, alerts

    def reached(self, recipient: str, words: str) -> None:
        """A recipient has accepted the message."""
        self._audience.remember(self._sent[recipient], recipient, _Answer(True, words))

    def refused(self, recipient: str, words: str) -> None:
        """A recipient has refused the message permanently."""
        self._audience.remember(self._sent[recipient], recipient, _Answer(False, words))

    def failed(self, recipient: str, words: str) -> None:
        """A recipient has not accepted the message; a retry may succeed."""
        self._failed[recipient] = words

    def conclude(self) -> str:
        """
        Return the result for all recipients.

        :raises DeliveryError: some have not answered finally, or all have refused.
        """
        audience = self._audience
        if self._failed:
            raise DeliveryError(self._listed(self._failed))
        final = {name: answer for alert in self._alerts for name, answer in audience.answers(alert).items()}
        audience.forget(self._alerts)
        refused = {name: answer.words for name, answer in final.items() if not answer.reached}
        # Of the latest first: those who were reached by an earlier process come before.
        accepted = [answer.words for answer in reversed(final.values()) if answer.reached]
        if not accepted:
            raise DeliveryError(self._listed(refused), permanent=True)
        for name, words in refused.items():
            self._log.error(
                "{channel}: {recipient} refused [{id}]{more} permanently, others accepted: {words}",
                channel=audience.channel,
                recipient=name,
                id=self._alerts[0].id,
                more=f" and {len(self._alerts) - 1} more" if len(self._alerts) > 1 else "",
                words=words,
            )
        if len(audience.recipients) == 1:
            return accepted[0]
        words = f"{len(accepted)} of {len(audience.recipients)} recipients accepted: {accepted[0]}"
        return cut(f"{self._listed(refused)}; {words}" if refused else words, WORDS_LIMIT)

    def _listed(self, words: Mapping[str, str]) -> str:
        """Return what the first of some recipients answered, and how many others there are."""
        name, first = next(iter(words.items()))
        if len(self._audience.recipients) == 1:
            return cut(first, WORDS_LIMIT)
        more = f" (and {len(words) - 1} more)" if len(words) > 1 else ""
        return cut(f"{name}{more}: {first}", WORDS_LIMIT)
