"""
Updates the outdated messages of one channel, one at a time and beside its news.

An update is best effort: services limit updates apart from messages, so an update never delays news, and begins only
after a message was accepted. While messages fail, there are no updates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel

from pypinger.domain import backoff
from pypinger.domain.model import Alert, Seconds
from pypinger.ports.notifying import DeliveryError, MessageLost, Notifier, ThreadedNotifier
from pypinger.runtime.threads import Threads

#: Seconds between a message and the first update after it, and between two updates. Slack allows 50 a minute.
SPACING: Seconds = 1.5

#: Time limit for an update, and the pause after one that failed, in seconds.
LIMIT: Seconds = 20.0
PAUSE: Seconds = 30.0

#: How often one update is tried.
TRIES = 3


class Updates:
    """
    The updates of one channel.

    :param resend: sends an alert again, as a message of its own.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, threads: Threads, resend: Callable[[Alert], None]) -> None:
        self._reactor = reactor
        self._threads = threads
        self._resend = resend
        self._notifier: ThreadedNotifier | None = None
        self._timer: IDelayedCall | None = None
        self._updating: Deferred[str] | None = None
        self._warned = False

    def resume(self, notifier: Notifier) -> None:
        """Make the updates that are due: the channel has accepted a message."""
        self._notifier = notifier if isinstance(notifier, ThreadedNotifier) else None
        self._schedule(SPACING)

    def pause(self) -> None:
        """Make no further updates until :meth:`resume`."""
        self._notifier = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Make no further updates, and abandon the one under way."""
        self.pause()
        if self._updating is not None:
            self._updating.cancel()

    def _schedule(self, wait: Seconds) -> None:
        idle = self._timer is None and self._updating is None
        if idle and self._notifier is not None and self._threads.outdated:
            self._timer = self._reactor.callLater(wait, self._begin)

    def _begin(self) -> None:
        self._timer = None
        working = Deferred.fromCoroutine(self._update())
        working.addErrback(lambda failure: self._log.failure("updating a message", failure))

    async def _update(self) -> None:
        notifier = self._notifier
        if notifier is None or not self._threads.outdated:
            return
        reference, failures, alerts = self._threads.next_update()
        wait = SPACING
        self._updating = Deferred.fromCoroutine(notifier.update(reference, alerts))
        try:
            await self._updating.addTimeout(LIMIT, self._reactor, _overdue)
        except CancelledError:
            return
        except MessageLost as error:
            self._report(alerts[0], error.words)
            for alert in self._threads.lost(reference):
                self._resend(alert)
        except DeliveryError as error:
            self._report(alerts[0], error.words)
            if error.permanent or failures + 1 >= TRIES:
                self._threads.updated(reference)
            else:
                self._threads.failed(reference, failures + 1)
                wait = min(max(PAUSE, error.retry_after or 0.0), backoff.LONGEST_ASKED)
        except Exception:
            self._log.failure("unexpected error while updating a message")
            self._threads.updated(reference)
        else:
            self._warned = False
            self._threads.updated(reference)
        finally:
            self._updating = None
        self._schedule(wait)

    def _report(self, alert: Alert, words: str) -> None:
        """Log the first of several failures as a warning."""
        level = LogLevel.debug if self._warned else LogLevel.warn
        self._warned = True
        self._log.emit(level, "a message about [{id}] was not updated: {words}", id=alert.id, words=words)


def _overdue(result: object, limit: Seconds) -> NoReturn:
    raise DeliveryError(f"no answer within {limit:g} s")
